"""What a run's processes take, seen in one look after another.

What each process shares with others (its proportional set size) takes milliseconds to read. So
that is read when the run's processes hold more than at any reading and have stopped growing, for
`FIRST_SECONDS` in all, and otherwise so seldom that it takes `MOST_SHARE` of a processor.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from fed_assets.resources.energy import EnergyMeter
from fed_assets.resources.process_table import (
    OTHER,
    PROC,
    Member,
    family,
    read_peak,
    read_share,
    seconds_by_site,
)

LOOK_SECONDS = 1.0
# Of one processor: looks, and readings when nothing tells that it is time for one.
MOST_SHARE = 0.004
FIRST_SECONDS = 0.2
# Why no memory is told: who measures may not look into a confined process. What it holds anyone is
# told, but most of that it shares with what it was forked from: a sum would be a multiple of it.
HIDDEN = "processes_hidden"
GROWN, STILL = 1.05, 1.03  # so much more than at any reading, and no more than a look ago


@dataclass
class Known:
    """One process over all looks.

    Attributes:
        member: as it was seen last.
        first_bytes: what it held when it was seen first: a fork's is its parent's.
        peak_bytes: the most that it held.
    """

    member: Member
    first_bytes: int
    peak_bytes: int = 0


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
    _known: dict[tuple[int, int], Known] = field(default_factory=dict)
    _now: dict[int, Member] = field(default_factory=dict)
    _held: int = 0
    _held_then: int = 0
    _highest: int = 0
    _hidden: bool = False
    _looks: int = 0
    _readings: int = 0
    _next_reading: float = 0.0
    _spent_on_growth: float = 0.0
    _began: float = field(default_factory=time.monotonic)

    def look(self) -> float:
        """Looks once; returns for how many seconds the processor should rest from it."""
        began = time.process_time()
        self._now = {each.pid: each for each in family(self.root, proc=self.proc)}
        held = 0
        for each in self._now.values():
            resident = each.times.resident_bytes
            named = (each.pid, each.times.started)
            known = self._known.setdefault(named, Known(each, resident))
            if not known.peak_bytes or resident != known.member.times.resident_bytes:
                known.peak_bytes = max(known.peak_bytes, read_peak(each.pid, proc=self.proc))
            # What has ended has no title any more, and is what it was.
            known.member = replace(each, program=each.program or known.member.program or OTHER)
            held += resident - known.first_bytes
        self.energy.look()
        self._looks += 1
        before, self._held = self._held, held
        took = time.process_time() - began
        if self._is_time(before):
            self.read_shares()
        return max(LOOK_SECONDS, took / MOST_SHARE)

    def _is_time(self, before: int) -> bool:
        """Returns whether shares are to be read: it is long ago, or all has grown and stopped."""
        grown = self._held > GROWN * self._held_then and self._held <= STILL * before
        affordable = self._spent_on_growth < FIRST_SECONDS
        return time.monotonic() >= self._next_reading or (grown and affordable)

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
        self._held_then = max(self._held_then, self._held)
        took, now = time.process_time() - began, time.monotonic()
        if now < self._next_reading:
            self._spent_on_growth += took
        self._next_reading = now + took / MOST_SHARE

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
                (each.site, each.program, each.times.own_seconds, known.peak_bytes)
                for known in self._known.values()
                for each in (known.member,)
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
