"""What this process and all below it cost: memory and processor time."""

from __future__ import annotations

import psutil


def family() -> list[psutil.Process]:
    """Returns this process and its descendants."""
    this = psutil.Process()
    return [this, *this.children(recursive=True)]


def memory_bytes(process: psutil.Process) -> int:
    """Returns a process's proportional set size; 0 where it cannot be told."""
    try:
        return int(process.memory_full_info().pss)
    except (psutil.Error, AttributeError):  # it has ended, or this system cannot tell
        return 0


def cpu_seconds(process: psutil.Process) -> float:
    """Returns the processor time that a process has used; 0 where it has ended."""
    try:
        times = process.cpu_times()
    except psutil.Error:
        return 0.0
    return float(times.user + times.system)


def family_cpu_seconds() -> float:
    """Returns the processor time of this process and all below it, those that have ended too.

    What has ended counts with whoever waited for it, and is lost where nobody did.
    """
    used = 0.0
    for process in family():
        try:
            times = process.cpu_times()
        except psutil.Error:  # it has ended: from now on it counts with its parent
            continue
        used += times.user + times.system + times.children_user + times.children_system
    return float(used)
