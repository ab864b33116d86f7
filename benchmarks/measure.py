"""What a command and all that it starts cost: wall seconds, CPU seconds, peak memory.

CPU seconds are those of the process tree, as Linux adds them up: of every process that is running,
and of every one that ended and was waited for. The measuring process adopts orphans, so that none
is lost. Beside them stand the CPU seconds that the whole machine spent, other work included.
Memory is the proportional set size (shared pages are split among their holders), summed over the
tree.
"""

from __future__ import annotations

import os
import re
import resource
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from fed_assets.federation.child import adopt_orphans

GRACE_SECONDS = 5.0
_PSS = re.compile(rb"^Pss:\s+(\d+) kB", re.MULTILINE)


@dataclass
class Peak:
    """The most memory, and the most processes, that a tree was seen to have."""

    memory_bytes: int = 0
    processes: int = 0

    def look(self, root: int) -> None:
        """Takes one sample."""
        sizes = [size for size in map(_pss_bytes, tree(root)) if size is not None]
        self.memory_bytes = max(self.memory_bytes, sum(sizes))
        self.processes = max(self.processes, len(sizes))


@dataclass(frozen=True)
class Usage:
    """What a command cost.

    Attributes:
        exit_code: Its own; that of SIGKILL if it was ended for taking too long.
        spawned_at: When it was started, by the clock that all processes share.
        seconds: Until its first process had ended.
        cpu_seconds: Of it and all that it started.
        machine_cpu_seconds: Of the whole machine in that time.
        stolen_cpu_seconds: What the machine's own host gave to other machines in that time.
        peak: None where memory was not looked at, which itself takes CPU.
        left_behind: Names of processes that it had not ended some seconds after its own end.
        load_before: The machine's load average over a minute, before.
    """

    exit_code: int
    spawned_at: float
    seconds: float
    cpu_seconds: float
    machine_cpu_seconds: float
    stolen_cpu_seconds: float
    peak: Peak | None
    left_behind: tuple[str, ...]
    load_before: float


def run_measured(
    command: Sequence[str],
    *,
    environment: Mapping[str, str],
    folder: Path,
    log: Path,
    timeout_seconds: float,
    sample_seconds: float | None = None,
) -> Usage:
    """Runs a command to its end; whatever happens, nothing that it started runs on.

    Args:
        command: The command.
        environment: All that it finds in its environment.
        folder: Where it runs.
        log: File for what it prints.
        timeout_seconds: When it is killed.
        sample_seconds: How often to look at its memory; None: not at all.
    """
    adopt_orphans()
    before = psutil.Process().children()
    peak = Peak() if sample_seconds else None
    load_before = os.getloadavg()[0]
    machine, stolen = machine_cpu_seconds(), stolen_cpu_seconds()
    children = _children_cpu_seconds()
    spawned_at = time.monotonic()
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            env=dict(environment),
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    try:
        while process.poll() is None and time.monotonic() < spawned_at + timeout_seconds:
            if peak is not None:
                peak.look(process.pid)
            with suppress(subprocess.TimeoutExpired):
                process.wait(sample_seconds or 0.5)
        seconds = time.monotonic() - spawned_at
    finally:
        left_behind = _end_all(process, before)
    return Usage(
        exit_code=process.wait(),
        spawned_at=spawned_at,
        seconds=round(seconds, 3),
        cpu_seconds=round(_children_cpu_seconds() - children, 2),
        machine_cpu_seconds=round(machine_cpu_seconds() - machine, 2),
        stolen_cpu_seconds=round(stolen_cpu_seconds() - stolen, 2),
        peak=peak,
        left_behind=left_behind,
        load_before=round(load_before, 2),
    )


def _end_all(process: subprocess.Popen[bytes], before: Sequence[psutil.Process]) -> tuple[str, ...]:
    """Kills a command that still runs, then what it left; returns the names of what it left.

    Args:
        process: The command.
        before: Children of this process that are none of the command's.
    """
    if process.poll() is None:
        for each in reversed(tree(process.pid)):
            with suppress(psutil.NoSuchProcess):
                each.kill()
    process.wait()
    adopted = [each for each in psutil.Process().children() if each not in before]
    orphans = [member for each in adopted for member in tree(each.pid)]
    _, alive = psutil.wait_procs(orphans, timeout=GRACE_SECONDS)
    names = []
    for each in alive:
        with suppress(psutil.NoSuchProcess):
            names.append(each.name())
            each.kill()
    psutil.wait_procs(alive, timeout=GRACE_SECONDS)
    return tuple(names)


@contextmanager
def watched_memory(sample_seconds: float) -> Iterator[Peak]:
    """Looks at the memory of this process's descendants for as long as the block runs."""
    peak, done = Peak(), threading.Event()

    def look() -> None:
        peak.look(os.getpid())
        while not done.wait(sample_seconds):
            peak.look(os.getpid())

    thread = threading.Thread(target=look, daemon=True)
    thread.start()
    try:
        yield peak
    finally:
        done.set()
        thread.join()


def tree(root: int) -> list[psutil.Process]:
    """Returns a process and its descendants, as far as they still run."""
    try:
        process = psutil.Process(root)
        return [process, *process.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def tree_cpu_seconds(root: int) -> float:
    """Returns the CPU seconds of a process and its descendants, ended ones included."""
    total = 0.0
    for each in tree(root):
        with suppress(psutil.NoSuchProcess):
            total += sum(each.cpu_times()[:4])
    return total


def machine_cpu_seconds() -> float:
    """Returns the CPU seconds that the machine has spent on anything."""
    spent = psutil.cpu_times()
    return spent.user + spent.nice + spent.system + spent.irq + spent.softirq


def stolen_cpu_seconds() -> float:
    """Returns the CPU seconds that other machines on this one's host were given in its place."""
    return float(getattr(psutil.cpu_times(), "steal", 0.0))  # Linux's alone


def _children_cpu_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _pss_bytes(process: psutil.Process) -> int | None:
    """Returns a process's proportional set size; None where it has ended."""
    try:
        found = _PSS.search(Path(f"/proc/{process.pid}/smaps_rollup").read_bytes())
    except (OSError, psutil.NoSuchProcess):
        return None
    return int(found[1]) * 1024 if found else None
