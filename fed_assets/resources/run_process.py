"""The process of a run: it ends with whoever started it, and is asked to before it is made to.

It may be started ahead, and waits then until it is let go (see `fed_assets.ready`).
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from fed_assets.resources.home import Home

STOP_SECONDS = 30
READY = "fed_assets.ready"


class RunProcess:
    """A run's process, which stops what it started when it is interrupted."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process
        self._stop_by: float | None = None

    def poll(self) -> int | None:
        """Returns its exit status; None while it lives."""
        return self._process.poll()

    def interrupt(self) -> None:
        """Asks it to stop, once: a second time would cut short how it does."""
        if self._stop_by is None and self.poll() is None:
            self._stop_by = time.monotonic() + STOP_SECONDS
            self._process.send_signal(signal.SIGINT)

    def end(self) -> None:
        """Returns when it has ended: interrupted, and killed where that took too long."""
        self.interrupt()
        if self._stop_by is None:
            return
        try:
            self._process.wait(max(0.0, self._stop_by - time.monotonic()))
        except (subprocess.TimeoutExpired, KeyboardInterrupt):
            self._process.kill()  # a run that waits for its place in a pool heeds no signal
            self._process.wait()


class ReadyProcess:
    """A process that waits to be a command's, of which it has imported what it can; see `READY`."""

    def __init__(self, command: Sequence[str], home: Home, log: Path) -> None:
        self._process = _begin([READY, *command], home, log, stdin=subprocess.PIPE)

    def let_go(self) -> RunProcess | None:
        """Returns it as the run's that it is from now on; None where it had ended."""
        if self._process.poll() is not None or self._process.stdin is None:
            return None
        with suppress(BrokenPipeError), self._process.stdin as gate:
            gate.write(b".")
        return RunProcess(self._process)

    def end(self) -> None:
        """Ends it, which has begun nothing."""
        self._process.kill()
        self._process.communicate()


@contextmanager
def running(
    command: Sequence[str], home: Home, log: Path, *, ready: ReadyProcess | None = None
) -> Iterator[RunProcess]:
    """Yields the process of a command, which is over when this is left.

    Args:
        command: the module, and its arguments.
        home: where it runs.
        log: the file for all that it prints, written anew.
        ready: what waits to be it; another one is started where that has ended.
    """
    process = ready.let_go() if ready else None
    process = process or RunProcess(_begin(command, home, log, stdin=subprocess.DEVNULL))
    try:
        yield process
    finally:
        process.end()


def _begin(command: Sequence[str], home: Home, log: Path, *, stdin: int) -> subprocess.Popen[bytes]:
    with open(os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as output:
        return subprocess.Popen(
            # Tied to this process: even `kill -9` of it ends the run, with all that it started.
            [sys.executable, "-m", "fed_assets.federation.child", str(os.getpid()), *command],
            stdin=stdin,
            stdout=output,
            stderr=output,
            env=os.environ | {"DAGSTER_HOME": str(home.instance)},
            start_new_session=True,  # Ctrl-C reaches it through us, once
        )
