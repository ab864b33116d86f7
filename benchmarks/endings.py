"""What a soak starts, and that none of it stays, however the soak ends."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import IO

import psutil

from fed_assets.errors import TimeLimitPassed
from fed_assets.federation import warm
from fed_assets.federation.child import end_child
from fed_assets.resources.home import Home
from fed_assets_tests.leftovers import called, processes

# Our programs stop all that they have started in less.
STOP_SECONDS = 20.0
KILL_SECONDS = 10.0


@contextmanager
def started(
    command: Iterable[str], environment: Mapping[str, str], output: IO[str], errors: IO[str]
) -> Iterator[subprocess.Popen[str]]:
    """Starts one of our programs; whoever leaves before its end has it stop, and waits for that."""
    process = subprocess.Popen(
        [sys.executable, "-m", *command],
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=errors,
        text=True,
        start_new_session=True,  # Ctrl-C reaches it through us, once
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            end_child(process, STOP_SECONDS)


def end_all(home: Home, sandboxes: Iterable[str]) -> None:
    """Ends all that works in a home: warm federations politely, the rest by `kill -9`.

    Raises:
        RuntimeError: Something runs on.
    """
    for sandbox in sandboxes:
        with suppress(TimeLimitPassed):
            warm.take_down(home.warm(sandbox))
    began = time.monotonic()
    while at_work := processes(home):
        if time.monotonic() - began > KILL_SECONDS:
            names = ", ".join(f"{each.pid} {called(each)}" for each in at_work)
            raise RuntimeError(f"still at work: {names}")
        for each in at_work:
            with suppress(psutil.NoSuchProcess):
                each.kill()
        time.sleep(0.1)
