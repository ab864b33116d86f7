"""One site's supervisor: forks the site's processes, and ends each with all that it started."""

from __future__ import annotations

import os
import signal
import socket
import time
import traceback
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NoReturn

from fed_assets.federation import link
from fed_assets.federation.child import adopt_orphans
from fed_assets.federation.ended import told
from fed_assets.federation.half_done import clear_own_half_done
from fed_assets.federation.happenings import (
    Asked,
    Closed,
    Ended,
    Happenings,
    channel_pair,
    tell,
)
from fed_assets.federation.identity import become, begin_process
from fed_assets.federation.program import Program
from fed_assets.federation.walls import Wall, stand_behind

CREDENTIALS = "NVFLARE_JOB_"


def supervise(
    name: str, mailbox: socket.socket, template: int, wall: Wall | None = None
) -> NoReturn:
    """Forks what the mailbox asks for, and jobs for those of its processes that may have any.

    A request is `{"run": PROGRAM}`; with it come a lifeline and, for some, the process's stdin.
    Over the lifeline the starter hears `{"started": pid, "supervisor": pid}` and `{"ended": code}`,
    and may say `{"signal": number}`. When the starter closes it, the process is killed with its
    jobs; it is closed here when nothing of them is left.

    Args:
        name: The site's.
        mailbox: What the template passes on.
        template: Process id of the parent.
        wall: What it stands behind before it does anything, with all that it forks.
    """
    if wall is not None:
        try:
            stand_behind(wall)
        except BaseException:
            traceback.print_exc()
            os._exit(1)  # nothing of the site runs without its wall
    begin_process(template, f"fed_assets.federation.supervisor {name}")
    adopt_orphans()
    _Supervisor(name, mailbox, walled=wall is not None).run()


@dataclass(eq=False)
class _Process:
    """One that was started at the mailbox's request.

    Attributes:
        program: What it runs.
        lifeline: The channel to its starter.
        link: The channel over which it asks for jobs, if it may.
        jobs: The ids of its jobs that run.
        code: How it ended, if it did.
    """

    program: Program
    lifeline: socket.socket
    link: socket.socket | None
    jobs: set[int]
    code: int | None = None


class _Supervisor:
    def __init__(self, name: str, mailbox: socket.socket, *, walled: bool) -> None:
        self._name = name
        self._walled = walled
        self._mailbox = mailbox
        self._happenings = Happenings()
        self._happenings.watch(mailbox)
        self._processes: dict[int, _Process] = {}

    def run(self) -> NoReturn:
        for event in self._happenings:
            match event:
                case Asked(channel, {"run": program}, [lifeline, *given]) if (
                    channel is self._mailbox
                ):
                    self._start(Program(**program), socket.socket(fileno=lifeline), *given)
                case Asked(channel, message):
                    self._obey(channel, message)
                case Ended(pid, code):
                    self._note_end(pid, code)
                case Closed(channel):
                    for pid, process in self._processes.items():
                        if channel is process.lifeline:
                            self._kill(pid)
                        if channel is process.link:
                            self._kill_jobs(process)
        raise AssertionError("happenings never end")

    def _start(self, program: Program, lifeline: socket.socket, channel: int | None = None) -> None:
        ours, theirs = channel_pair() if program.job_module else (None, None)
        pid = self._fork(program, channel, lifeline, ours, joined=theirs)
        if channel is not None:
            os.close(channel)
        if ours and theirs:
            theirs.close()
            self._happenings.watch(ours)
        self._happenings.watch(lifeline)
        self._processes[pid] = _Process(program, lifeline, ours, set())
        tell(lifeline, {"started": pid, "supervisor": os.getpid()})

    def _fork(
        self,
        program: Program,
        channel: int | None = None,
        *not_its_own: socket.socket | None,
        joined: socket.socket | None = None,
    ) -> int:
        """Returns the process id of a new process, which holds no channel but those given to it."""
        supervisor = os.getpid()
        pid = os.fork()
        if pid == 0:
            self._happenings.close()
            known = [each for p in self._processes.values() for each in (p.lifeline, p.link)]
            for other in (*known, *not_its_own):
                if other:
                    other.close()
            if joined:
                link.join(joined)
            become(program, supervisor, channel)
        return pid

    def _obey(self, channel: socket.socket, message: Mapping[str, Any]) -> None:
        """Does what a process's starter, or the process itself, may ask for."""
        for pid, process in self._processes.items():
            if channel is process.lifeline and "signal" in message and process.code is None:
                os.kill(pid, message["signal"])
            if channel is process.link and "start" in message:
                job = self._fork(_job(self._name, process.program, **message))
                process.jobs.add(job)
                tell(channel, {"started": job})
            if channel is process.link and message.get("terminate") in process.jobs:
                _kill(message["terminate"])

    def _note_end(self, pid: int, code: int) -> None:
        _kill_group(pid)
        for owner, process in list(self._processes.items()):
            if pid == owner:
                process.code = code
                self._kill_jobs(process)
                _write_end(process.program, process.program.module, code)
            if pid in process.jobs:
                process.jobs.remove(pid)
                _write_end(process.program, process.program.job_module, code)
                if process.link and process.code is None:
                    tell(process.link, {"ended": pid, "code": code})
            if process.code is not None and not process.jobs:
                self._forget(owner)
        for stranger in self._strangers():
            _kill(stranger)

    def _forget(self, pid: int) -> None:
        process = self._processes.pop(pid)
        if self._walled and process.program.job_module:
            with suppress(OSError):  # nobody else can; how it ended is to be told all the same
                clear_own_half_done(process.program)
        tell(process.lifeline, {"ended": process.code})
        self._happenings.forget(process.lifeline)
        if process.link:
            self._happenings.forget(process.link)

    def _kill(self, pid: int) -> None:
        process = self._processes[pid]
        self._kill_jobs(process)
        if process.code is None:
            _kill(pid)

    def _kill_jobs(self, process: _Process) -> None:
        for job in process.jobs:
            _kill(job)

    def _strangers(self) -> set[int]:
        """Returns what outlived the process that started it: nothing of a site may."""
        known = {pid for owner, each in self._processes.items() for pid in (owner, *each.jobs)}
        children = Path(f"/proc/self/task/{os.getpid()}/children")
        with suppress(FileNotFoundError):  # a kernel built without it: the template's end remains
            return {int(pid) for pid in children.read_text().split()} - known
        return set()


def _job(
    site: str, owner: Program, start: Sequence[str], credentials: Mapping[str, str]
) -> Program:
    """Returns a job's process: its module is its site's, whatever was asked for."""
    own = {key: credentials[key] for key in credentials if key.startswith(CREDENTIALS)}
    return replace(
        owner,
        title=f"{owner.job_module} {site}",
        arguments=(owner.job_module, *start),
        environment={**owner.environment, **own},
        job_module="",
    )


def _write_end(program: Program, module: str, code: int) -> None:
    """Notes in a program's console that a process ended badly: it may not have said so itself."""
    if code == 0:
        return
    line = f"{time.strftime('%Y-%m-%dT%H:%M:%S%z')} {module} ended ({told(code)})\n"
    with suppress(OSError), open(program.open_console(), "a") as console:
        console.write(line)


def _kill(pid: int) -> None:
    _kill_group(pid)
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)  # it leads no group in its first moment


def _kill_group(leader: int) -> None:
    """Kills what a process of ours has started and not moved to another group."""
    with suppress(ProcessLookupError):
        os.killpg(leader, signal.SIGKILL)
