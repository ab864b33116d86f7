"""Processes as interpreters of their own, for systems that cannot fork safely."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from contextlib import suppress

import psutil

from fed_assets.federation.child import adopt_orphans
from fed_assets.federation.program import Program

END_SECONDS = 5.0


class Spawned:
    """Starts each process anew: every one imports for itself what it needs.

    The processes are tied to the thread that starts them.
    """

    def __init__(self) -> None:
        self._started: list[SpawnedProcess] = []
        adopt_orphans()

    def load(self) -> None:
        """Does nothing: every process imports for itself."""

    def start(
        self, site: str, program: Program, channel: socket.socket | None = None
    ) -> SpawnedProcess:
        """Starts a program; it gets a socket, if one is given, as its stdin."""
        child = ("-m", "fed_assets.federation.child", str(os.getpid()))
        console = program.open_console()
        try:
            process = subprocess.Popen(
                [sys.executable, *child, program.module, *program.arguments],
                cwd=program.folder,
                env=program.full_environment(),
                stdin=subprocess.DEVNULL if channel is None else channel.fileno(),
                stdout=channel.fileno() if channel and program.answers else console,
                stderr=console,
                start_new_session=True,
            )
        finally:
            os.close(console)
        started = SpawnedProcess(process)
        self._started.append(started)
        return started

    def broken(self) -> str | None:
        """Returns None: each process stands alone."""
        return None

    def lent(self) -> None:
        """Returns nothing: whoever starts others spawns them itself."""
        return

    def close(self) -> None:
        """Ends what was started here."""
        for process in self._started:
            process.end()
        for process in self._started:
            if not process.gone(END_SECONDS):
                process.kill()
                process.gone(END_SECONDS)


class SpawnedProcess:
    """A process that was spawned, with what descends from it."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process
        self._family: list[psutil.Process] = []

    def pid(self, seconds: float) -> int:
        """Returns its process id."""
        return self._process.pid

    def ended(self) -> int | None:
        """Returns its exit code; None while it runs."""
        return self._process.poll()

    def signal(self, number: int) -> None:
        """Sends it a signal."""
        self._process.send_signal(number)

    def end(self) -> None:
        """Asks it to end, and kills what it started: that would go on without it."""
        self._look()
        self._process.terminate()

    def gone(self, seconds: float) -> bool:
        """Waits for its end; says whether nothing of it is left then."""
        deadline = time.monotonic() + seconds
        while self._alive() and time.monotonic() < deadline:
            time.sleep(0.02)
        return not self._alive()

    def kill(self) -> None:
        """Kills what is left of it."""
        self._look()
        for member in self._family:
            with suppress(psutil.NoSuchProcess):
                member.kill()

    def _look(self) -> None:
        """Notes what descends from it: after its end, nobody could tell."""
        with suppress(psutil.NoSuchProcess):
            root = psutil.Process(self._process.pid)
            self._family += [root, *root.children(recursive=True)]

    def _alive(self) -> bool:
        if self._process.poll() is None:
            return True
        for member in self._family:
            if member.pid != self._process.pid:
                # Ours since its parent ended, see `adopt_orphans`.
                with suppress(ChildProcessError):
                    os.waitpid(member.pid, os.WNOHANG)
        return any(member.is_running() for member in self._family)
