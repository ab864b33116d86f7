"""A small process beside a run that measures it: processor time, memory and energy.

`python -m fed_assets.resources.run_meter PROCESS` looks once a second at a process and all below
it, and writes a line of JSON for each line that it reads, until its stdin ends. It is started
before the run gives up its rights: of a confined hospital's memory only root is told. It reads
what Linux says of processes, and nothing of what they do.

What each process shares with others (its proportional set size) takes milliseconds to read. So
that is read when the run's processes hold more than at any such reading, and have stopped growing,
and never so often that it takes more than `MOST_SHARE` of a processor.
"""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fed_assets.resources.energy import EnergyMeter
from fed_assets.resources.process_table import (
    PROC,
    TASK,
    Member,
    family,
    read_peak,
    read_share,
    seconds_by_site,
)

# The job whose runs are measured.
LIFECYCLE = "federated_lifecycle"
METER = "fed_assets.resources.run_meter"
LOOK_SECONDS = 1.0
ANSWER_SECONDS = 10.0
END_SECONDS = 5.0
# Of one processor, looks and readings each.
MOST_SHARE = 0.005
# What readings may take before a run has lasted: a short one is to have its highest moment too.
FIRST_SECONDS = 0.5
# Why no memory is told: who measures may not look into a confined process.
HIDDEN = "processes_hidden"
GROWN, STILL = 1.05, 1.03  # more than at the last reading; no more than at the last look


class RunMeter:
    """The meter of this process and all below it, from now until `end`.

    Args:
        folder: where it works; it writes nothing there.
    """

    def __init__(self, folder: Path) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", METER, str(os.getpid())],
            cwd=folder,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        self._tasks: list[tuple[str, str, float, int]] = []

    def note(self, hospital: str, answer: Mapping[str, Any]) -> None:
        """Notes what a hospital's task says of its process, which may be over between two looks."""
        if "cpu_seconds" in answer:
            cost = (answer["cpu_seconds"], answer["peak_memory_bytes"])
            self._tasks.append((hospital, TASK, *cost))

    def told(self) -> dict[str, Any] | None:
        """Returns what was measured so far; None where the meter has ended.

        Returns:
            See `Looks.told`. In `processes`, tasks are as they say of themselves, with whom they
            acted for as their site.
        """
        found = self._asked()
        if found is not None:
            others = [row for row in found["processes"] if row["program"] != TASK]
            found["processes"] = [*others, *rows(self._tasks)]
        return found

    def _asked(self) -> dict[str, Any] | None:
        assert self._process.stdin is not None and self._process.stdout is not None
        try:
            self._process.stdin.write(b"\n")
            self._process.stdin.flush()
            if not select.select([self._process.stdout], [], [], ANSWER_SECONDS)[0]:
                return None
            found: dict[str, Any] = json.loads(self._process.stdout.readline())
            return found
        except (OSError, ValueError):
            return None

    def end(self) -> None:
        """Ends the meter."""
        try:
            with suppress(BrokenPipeError):
                self._process.communicate(timeout=END_SECONDS)
        except subprocess.TimeoutExpired:
            with suppress(PermissionError):  # it ends with this process at the latest
                self._process.kill()
                self._process.communicate()


@dataclass
class Looks:
    """All that was seen of a process and those below it, one look after another.

    Attributes:
        root: its process id.
        proc: where Linux tells of processes.
        energy: adds up what the machine takes.
    """

    root: int
    proc: Path = PROC
    energy: EnergyMeter = field(default_factory=EnergyMeter)
    _seen: dict[tuple[int, int], Member] = field(default_factory=dict)
    _peaks: dict[tuple[int, int], int] = field(default_factory=dict)
    _now: dict[int, Member] = field(default_factory=dict)
    _resident: int = 0
    _read_at: int = 0
    _read_for: float = 0.0
    _highest: int = 0
    _readings: int = 0
    _hidden: bool = False
    _looks: int = 0
    _began: float = field(default_factory=time.monotonic)

    def look(self) -> float:
        """Looks once; returns how many seconds the processor should rest from it."""
        began = time.process_time()
        self._now = {each.pid: each for each in family(self.root, proc=self.proc)}
        for each in self._now.values():
            known = (each.pid, each.times.started)
            self._seen[known] = each
            self._peaks[known] = max(self._peaks.get(known, 0), read_peak(each.pid, proc=self.proc))
        self.energy.look()
        self._looks += 1
        resident = sum(each.times.resident_bytes for each in self._now.values())
        before, self._resident = self._resident, resident
        took = time.process_time() - began
        if resident > GROWN * self._read_at and resident <= STILL * before and self._may_read():
            self.read_shares()
        return max(LOOK_SECONDS, took / MOST_SHARE)

    def _may_read(self) -> bool:
        """Returns whether another reading is no more than its share of a processor."""
        took = self._read_for / self._readings if self._readings else 0.0
        allowed = FIRST_SECONDS + MOST_SHARE * (time.monotonic() - self._began)
        return self._read_for + took <= allowed

    def read_shares(self) -> None:
        """Adds up what the processes hold at this moment, with what they share counted once."""
        began = time.process_time()
        total = 0
        for pid in self._now:
            try:
                total += read_share(pid, proc=self.proc)
            except PermissionError:
                self._hidden = True
        self._highest = max(self._highest, total)
        self._readings += 1
        self._read_at = self._resident
        self._read_for += time.process_time() - began

    def told(self) -> dict[str, Any]:
        """Returns what was measured, JSON-ready.

        Returns:
            `cpu_seconds` of all, ended ones too; `peak_memory_bytes`, the highest total of
            proportional set sizes at one moment, and `energy_joules` of the whole machine, each
            None where `not_measured` says why; `sites`, the `cpu_seconds` of each; `processes`, a
            row per site and program as `rows` gives them; `meter`, what measuring took.
        """
        if not self._readings:
            self.read_shares()
        used = seconds_by_site(self._now)
        reasons = {
            "energy_joules": self.energy.why_not(),
            "peak_memory_bytes": HIDDEN if self._hidden else "",
        }
        return {
            "cpu_seconds": round(sum(used.values()), 3),
            "peak_memory_bytes": None if self._hidden else self._highest or None,
            "energy_joules": self.energy.joules(),
            "sites": {site: round(seconds, 3) for site, seconds in used.items() if site},
            "processes": rows(
                (each.site, each.program, each.times.own_seconds, self._peaks[known])
                for known, each in self._seen.items()
            ),
            "not_measured": {name: why for name, why in reasons.items() if why},
            "meter": {
                "cpu_seconds": round(time.process_time(), 3),
                "seconds": round(time.monotonic() - self._began, 3),
                "looks": self._looks,
                "readings": self._readings,
            },
        }


def rows(seen: Iterable[tuple[str, str, float, int]]) -> list[dict[str, Any]]:
    """Returns a row per site and program, from site, program, CPU-seconds and peak of processes.

    Returns:
        `site`, `program`, how many `processes`, their `cpu_seconds` together, and the
        `peak_memory_bytes` of the one that held most, with what it shares.
    """
    found: dict[tuple[str, str], dict[str, Any]] = {}
    for site, program, seconds, peak in seen:
        row = found.setdefault(
            (site, program),
            {
                "site": site or None,
                "program": program,
                "processes": 0,
                "cpu_seconds": 0.0,
                "peak_memory_bytes": 0,
            },
        )
        row["processes"] += 1
        row["cpu_seconds"] = round(row["cpu_seconds"] + seconds, 3)
        row["peak_memory_bytes"] = max(row["peak_memory_bytes"], peak)
    return [found[key] for key in sorted(found)]


def main() -> None:
    """Looks until stdin ends, and tells what was measured when it is asked."""
    looks = Looks(int(sys.argv[1]))
    rest = looks.look()
    while True:
        if not select.select([0], [], [], rest)[0]:
            rest = looks.look()
            continue
        if not os.read(0, 1):
            return
        looks.look()
        print(json.dumps(looks.told()), flush=True)


if __name__ == "__main__":
    main()
