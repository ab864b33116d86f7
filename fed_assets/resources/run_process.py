"""The process of a run: it ends with whoever started it, and is asked to before it is made to."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from fed_assets.resources.home import Home

STOP_SECONDS = 30


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


@contextmanager
def running(command: Sequence[str], home: Home, log: Path) -> Iterator[RunProcess]:
    """Yields the process of a command, which is over when this is left.

    Args:
        command: the module, and its arguments.
        home: where it runs.
        log: the file for all that it prints, written anew.
    """
    with open(os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as output:
        process = RunProcess(
            subprocess.Popen(
                # Tied to this process: even `kill -9` of it ends the run, with all that it started.
                [sys.executable, "-m", "fed_assets.federation.child", str(os.getpid()), *command],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env=os.environ | {"DAGSTER_HOME": str(home.instance)},
                start_new_session=True,  # Ctrl-C reaches it through us, once
            )
        )
    try:
        yield process
    finally:
        process.end()
