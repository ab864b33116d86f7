"""Attempts on the processes of hospitals while they hold data in memory."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from fed_assets.posture.evidence import Attempt, Probe
from fed_assets.posture.ladders import IN_USE
from fed_assets.posture.searches import look_into, search_memory
from fed_assets.posture.target import Target, together

_HOLDER = """
import sys
held = sys.stdin.buffer.read(int(sys.argv[1]))
print(flush=True)
sys.stdin.read()
"""


def probes_in_use(targets: Sequence[Target]) -> list[Probe]:
    """Returns the probes of the ladder `in_use`."""
    canary = targets[0].canary

    def on_our_own(attempt: Callable[[int], Attempt]) -> Callable[[], Attempt]:
        def made() -> Attempt:
            with _holder(canary) as process:
                return attempt(process)

        return made

    return [
        Probe(
            "read_hospitals_memory",
            IN_USE,
            1,
            "Reads the memory of hospitals' processes, and looks for what they hold there.",
            lambda: together(search_memory([each.pid], each.canary) for each in targets),
            on_our_own(lambda process: search_memory([process], canary)),
        ),
        Probe(
            "look_into_hospitals_processes",
            IN_USE,
            1,
            "Reads the environment, the mappings and the open files of hospitals' processes.",
            lambda: together(look_into([each.pid]) for each in targets),
            on_our_own(lambda process: look_into([process])),
        ),
    ]


@contextmanager
def _holder(canary: bytes) -> Iterator[int]:
    """Yields a process of our own that holds the canary, and that nothing protects from us."""
    with subprocess.Popen(
        [sys.executable, "-I", "-S", "-c", _HOLDER, str(len(canary))],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={},
    ) as process:
        assert process.stdin is not None and process.stdout is not None
        process.stdin.write(canary)
        process.stdin.flush()
        process.stdout.readline()
        yield process.pid
