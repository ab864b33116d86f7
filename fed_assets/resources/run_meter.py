"""A small process beside a run that measures it: processor time, memory and energy.

`python -m fed_assets.resources.run_meter PROCESS` looks once a second at a process and all below
it, and writes a line of JSON for each line that it reads, until its stdin ends. It is started
before the run gives up its rights: of a confined hospital's memory only root is told. It reads
what Linux says of processes, and nothing of what they do.
"""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from fed_assets.resources.looks import Looks, rows
from fed_assets.resources.process_table import TASK

METER = "fed_assets.resources.run_meter"
ANSWER_SECONDS = 30.0
END_SECONDS = 5.0


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
