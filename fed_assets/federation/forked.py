"""Processes as forks of one template, which imports what they need once."""

from __future__ import annotations

import os
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path

from fed_assets.errors import ProcessNotStarted
from fed_assets.federation.ended import told
from fed_assets.federation.happenings import channel_pair, hear, hung_up, tell
from fed_assets.federation.program import BARE_ENVIRONMENT, Program
from fed_assets.federation.walls import Walls

# Room for the titles of the forks, which are written over the template's own command line.
_ROOM = "-" * 160
# Its end of the mailbox closes shortly before it can be waited for.
END_SECONDS = 1.0
# A template that still loads modules looks at its mailbox between two of them.
MODULE_SECONDS = 5.0
# What a template that has loaded nothing yet is told to; so does anything else that it is told.
LOAD = {"load": True}


def start_template(
    preload: Iterable[str],
    temporary: Path,
    *,
    then: Iterable[str] = (),
    walls: Walls | None = None,
    at_once: bool = True,
) -> Forked:
    """Starts a template, which loads its modules while other work goes on.

    It is tied to the thread that calls this, and every process to it.

    Args:
        preload: Names of the modules that it imports.
        temporary: Absolute path of a folder for what an import may write.
        then: Names of those that it imports after them; early programs do not wait for these.
        walls: What the sites stand behind, if anything.
        at_once: Whether it loads them now; else, it waits for `load`, or for the first program.
    """
    mailbox, theirs = channel_pair()
    module = ("-m", "fed_assets.federation.template")
    with theirs:
        template = subprocess.Popen(
            [sys.executable, *module, str(theirs.fileno()), str(os.getpid()), _ROOM],
            cwd=temporary,
            env={**BARE_ENVIRONMENT, "HOME": str(temporary), "TMPDIR": str(temporary)},
            pass_fds=[theirs.fileno()],
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )
    record = walls.as_record() if walls else None
    modules = {"preload": list(preload), "then": list(then), "at_once": at_once}
    tell(mailbox, {**modules, "walls": record})
    return Forked(mailbox, template)


class Forked:
    """Has a template fork processes.

    Args:
        mailbox: Where the template takes requests from; others may write to it too.
        template: The template, where it was started here.
    """

    def __init__(
        self, mailbox: socket.socket, template: subprocess.Popen[bytes] | None = None
    ) -> None:
        self._mailbox = mailbox
        self._template = template
        self._said = False
        self._started: list[ForkedProcess] = []
        self._noting = threading.Lock()

    def load(self) -> None:
        """Has the template load its modules; where it has begun to, nothing more happens."""
        with self._noting:
            said, self._said = self._said, True
        if not said:
            with suppress(OSError):  # closed already
                tell(self._mailbox, LOAD)

    def start(
        self, site: str, program: Program, channel: socket.socket | None = None
    ) -> ForkedProcess:
        """Has a program forked for a site; it gets a socket, if one is given, as its stdin."""
        lifeline, theirs = channel_pair()
        with theirs:
            descriptors = [each.fileno() for each in (theirs, channel) if each is not None]
            tell(self._mailbox, {"site": site, "run": asdict(program)}, descriptors)
        process = ForkedProcess(program.title, lifeline)
        with self._noting:
            self._started = [each for each in self._started if not each.over] + [process]
        return process

    def broken(self) -> str | None:
        """Returns how the template ended, if it did: all others died with it."""
        if self._mailbox.fileno() != -1 and not hung_up(self._mailbox):
            return None
        if self._template is None:
            return "its mailbox is closed"
        with suppress(subprocess.TimeoutExpired):
            self._template.wait(END_SECONDS)
        return told(self._template.returncode)

    def lent(self) -> socket.socket:
        """Returns the mailbox, to make another `Forked` of."""
        return self._mailbox

    def close(self) -> None:
        """Ends what was started here, and the template, if it was."""
        for process in self._started:
            process.end()
        for process in self._started:
            process.gone(END_SECONDS)
        self._mailbox.close()
        if self._template is not None:
            try:
                self._template.wait(MODULE_SECONDS)
            except subprocess.TimeoutExpired:
                with suppress(PermissionError):  # it dies with this process at the latest
                    self._template.kill()
                    self._template.wait()


class ForkedProcess:
    """A process at the other end of a lifeline, see `supervisor`; any thread may ask after it."""

    def __init__(self, title: str, lifeline: socket.socket) -> None:
        self._title = title
        self._lifeline = lifeline
        self._listening = threading.Lock()
        self._pid: int | None = None
        self._supervisor: int | None = None
        self._code: int | None = None

    def pid(self, seconds: float) -> int:
        """Returns its process id.

        Raises:
            ProcessNotStarted: The template has ended, or did not answer in time.
        """
        deadline = time.monotonic() + seconds
        while self._pid is None:
            if self._code is not None or not self._hears(deadline - time.monotonic()):
                raise ProcessNotStarted(
                    f"{self._title} could not be started",
                    seen=f"nothing within {seconds:g} s"
                    if self._code is None
                    else "its template or supervisor has ended",
                )
        return self._pid

    @property
    def over(self) -> bool:
        """Whether its end, and that of all that it started, has been heard of."""
        return self._lifeline.fileno() == -1

    def ended(self) -> int | None:
        """Returns its exit code, -9 too where its supervisor was killed; None while it runs."""
        while self._hears(0.0):
            pass
        return self._code

    def signal(self, number: int) -> None:
        """Sends it a signal."""
        with suppress(OSError):  # closed already
            tell(self._lifeline, {"signal": number})

    def end(self) -> None:
        """Has it and its jobs killed."""
        with suppress(OSError):  # closed already
            self._lifeline.shutdown(socket.SHUT_WR)

    def gone(self, seconds: float) -> bool:
        """Waits for its end; says whether nothing of it is left then."""
        deadline = time.monotonic() + seconds
        while self._hears(deadline - time.monotonic()):
            pass
        return self.over

    def kill(self) -> None:
        """Kills its supervisor, and with it all of the site."""
        if self._supervisor is not None and not self.over:
            # Behind walls, only the template may; it does, when it is closed.
            with suppress(ProcessLookupError, PermissionError):
                os.kill(self._supervisor, signal.SIGKILL)

    def _hears(self, seconds: float) -> bool:
        """Takes one message; says whether there was one in time, and no other thread took it."""
        if not self._listening.acquire(timeout=max(seconds, 0.0)):
            return False
        try:
            return self._takes(seconds)
        finally:
            self._listening.release()

    def _takes(self, seconds: float) -> bool:
        if self.over:
            return False
        if not select.select([self._lifeline], [], [], max(seconds, 0.0))[0]:
            return False
        message = hear(self._lifeline)
        if message is None:
            self._lifeline.close()
            # A supervisor says how a process ended; one that was killed cannot.
            self._code = -signal.SIGKILL if self._code is None else self._code
            return False
        if "started" in message:
            self._pid, self._supervisor = message["started"], message["supervisor"]
        elif "ended" in message:
            self._code = message["ended"]
        return True
