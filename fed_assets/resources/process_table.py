"""What Linux tells of a process and all below it: whom they act for, processor time, memory."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

PROC = Path("/proc")
TICKS = os.sysconf("SC_CLK_TCK")
PAGE = os.sysconf("SC_PAGE_SIZE")
# A process acts for the site of the nearest supervisor above it, whatever it calls itself.
SUPERVISOR = "fed_assets.federation.supervisor "
TASK = "task"
# What processes are called in lists of processes, and what they are. The first that fits counts.
PROGRAMS = {
    SUPERVISOR: "supervisor",
    "fed_assets.federation.template": "template",
    "fed_assets.hospital.worker": TASK,
    "fed_assets.hospital.attestation": "key_release",
    "fed_assets.resources.session_child": "session",
    "fed_assets.resources.run_watch": "watch",
    "fed_assets.resources.run_meter": "meter",
    "server.server_train": "server",
    "server.runner_process": "server_job",
    "client.client_train": "client",
    "client.worker_process": "client_job",
}
ROOT, OTHER = "run", "other"
_PSS = re.compile(rb"^Pss:\s+(\d+) kB", re.MULTILINE)
_PEAK = re.compile(rb"^VmHWM:\s+(\d+) kB", re.MULTILINE)


@dataclass(frozen=True)
class Times:
    """What /proc/PID/stat tells of a process; anyone may read it, whosever the process is.

    Attributes:
        parent: process id of its parent.
        started: when, in ticks since the machine's start: with its id, its name for good.
        own_seconds: processor time that it has used.
        waited_seconds: that of the processes below it that have ended and were waited for.
        resident_bytes: memory that it holds now, with what it shares.
    """

    parent: int
    started: int
    own_seconds: float
    waited_seconds: float
    resident_bytes: int


@dataclass(frozen=True)
class Member:
    """One process of a run.

    Attributes:
        pid: its process id.
        program: what it is, a value of `PROGRAMS`, "run" or "other"; empty of one that has ended
            and was not waited for yet, which has no title any more.
        site: whom it acts for: a hospital, `server` or `coordinator`; empty where for the run.
        times: see there.
    """

    pid: int
    program: str
    site: str
    times: Times


def read_times(proc: Path) -> dict[int, Times]:
    """Returns what every process of the machine says, by its id."""
    found = {}
    for name in os.listdir(proc):
        if name.isdigit():
            with suppress(OSError):  # it has ended
                found[int(name)] = _times((proc / name / "stat").read_bytes())
    return found


def _times(stat: bytes) -> Times:
    # The second field, the only one that may hold spaces, ends at the last parenthesis: proc(5).
    fields = stat.rpartition(b")")[2].split()
    own, waited = (int(fields[at]) + int(fields[at + 1]) for at in (11, 13))
    return Times(
        parent=int(fields[1]),
        started=int(fields[19]),
        own_seconds=own / TICKS,
        waited_seconds=waited / TICKS,
        resident_bytes=int(fields[21]) * PAGE,
    )


def family(root: int, *, proc: Path = PROC) -> Iterator[Member]:
    """Yields a process and all below it, each after its parent."""
    times = read_times(proc)
    below: dict[int, list[int]] = {}
    for pid, each in times.items():
        below.setdefault(each.parent, []).append(pid)
    left = [(root, "")] if root in times else []
    while left:
        pid, site = left.pop()
        title = read_title(pid, proc=proc)
        if title.startswith(SUPERVISOR):
            site = title.removeprefix(SUPERVISOR).strip()
        program = ROOT if pid == root else program_of(title)
        yield Member(pid, program, site, times[pid])
        left += [(child, site) for child in below.get(pid, ())]


def program_of(title: str) -> str:
    """Returns what a process of this title is.

    >>> program_of("nvflare.private.fed.app.client.client_train uid=north"), program_of("cat")
    ('client', 'other')
    """
    found = (name for part, name in PROGRAMS.items() if part in title)
    return next(found, OTHER if title else "")


def read_title(pid: int, *, proc: Path = PROC) -> str:
    """Returns a process's title or command line; empty where it has ended."""
    with suppress(OSError):
        line = (proc / str(pid) / "cmdline").read_bytes()
        return line.replace(b"\0", b" ").decode(errors="replace").strip()
    return ""


def read_peak(pid: int, *, proc: Path = PROC) -> int:
    """Returns the most memory that a process has held at once, with what it shares; 0 if over.

    The kernel keeps it (VmHWM), and anyone may read it.
    """
    with suppress(OSError):
        found = _PEAK.search((proc / str(pid) / "status").read_bytes())
        return int(found[1]) * 1024 if found else 0
    return 0


def read_share(pid: int, *, proc: Path = PROC) -> int:
    """Returns a process's proportional set size: pages that several hold are split among them.

    It is 0 where the process has ended.

    Raises:
        PermissionError: only who may look into the process is told.
    """
    try:
        found = _PSS.search((proc / str(pid) / "smaps_rollup").read_bytes())
    except PermissionError:
        raise
    except OSError:
        return 0
    return int(found[1]) * 1024 if found else 0


def seconds_by_site(members: Mapping[int, Member]) -> dict[str, float]:
    """Returns the processor time of each site's processes, those that have ended too.

    What has ended counts with whoever waited for it: of a site, with its supervisors, which stay
    until their template ends.
    """
    used: dict[str, float] = {}
    for each in members.values():
        spent = each.times.own_seconds + each.times.waited_seconds
        used[each.site] = used.get(each.site, 0.0) + spent
    return used
