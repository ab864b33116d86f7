"""Runs of one sandbox take turns: they share its stores, its artifacts and its report."""

from __future__ import annotations

import fcntl
import time
from collections.abc import Callable
from typing import IO

from fed_assets.resources.home import Home

LOOK_SECONDS = 0.3


def take_turn(home: Home, sandbox: str, on_wait: Callable[[], None]) -> IO[str]:
    """Waits until no other run of a sandbox is under way, and returns what holds the turn.

    The turn ends when that is closed, or with this process, however it ends.

    Args:
        home: Where the sandbox's runs lie.
        sandbox: The sandbox.
        on_wait: Called again and again while another has the turn; what it raises ends the wait.
    """
    path = home.turn(sandbox)
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    turn = path.open("w")
    try:
        while not _taken(turn):
            on_wait()
            time.sleep(LOOK_SECONDS)
    except BaseException:
        turn.close()
        raise
    return turn


def _taken(turn: IO[str]) -> bool:
    try:
        fcntl.flock(turn, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
