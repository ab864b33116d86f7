"""A process that is started anew whenever it dies, until somebody stops it."""

from __future__ import annotations

import signal
import subprocess
import threading
import time
from collections.abc import Callable
from types import FrameType
from typing import Any

from fed_assets.federation.child import end_child

# What the process ends with where to start it anew would change nothing.
GIVES_UP = 4
FIRST_WAIT_SECONDS, LONGEST_WAIT_SECONDS = 1.0, 60.0
# Once it has lived for so long, it counts as well again.
WELL_SECONDS = 60.0
END_SECONDS = 30.0


def keep(
    start: Callable[[], subprocess.Popen[Any]], say: Callable[[str], None], stop: signal.Signals
) -> int:
    """Starts a process again and again; returns 0 when this one is told to stop.

    Args:
        start: Starts it.
        say: Called with a sentence whenever it has ended.
        stop: What tells this process to stop, beside SIGINT and SIGHUP.

    Returns:
        0, or what it ended with where it has given up itself.
    """
    over = threading.Event()

    def ask(_: int, __: FrameType | None) -> None:
        over.set()

    for number in (stop, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, ask)
    wait = FIRST_WAIT_SECONDS
    while not over.is_set():
        began, process = time.monotonic(), start()
        while process.poll() is None and not over.wait(0.2):
            pass
        if process.poll() is None:
            end_child(process, END_SECONDS)
            break
        if process.returncode in (0, GIVES_UP):
            return int(process.returncode)
        if time.monotonic() - began > WELL_SECONDS:
            wait = FIRST_WAIT_SECONDS
        say(f"It ended with {process.returncode}, and is started again in {wait:.0f} s.")
        over.wait(wait)
        wait = min(2 * wait, LONGEST_WAIT_SECONDS)
    return 0
