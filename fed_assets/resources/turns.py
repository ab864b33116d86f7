"""Runs of one sandbox take turns: they share its stores, its artifacts and its report."""

from __future__ import annotations

import fcntl
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import IO, TYPE_CHECKING, Any

from fed_assets.resources.earlier_runs import PARTITION_TAG
from fed_assets.resources.home import Home
from fed_assets.resources.wanted import require_wanted
from fed_assets.sandboxes.presets import SANDBOX_NAMES

if TYPE_CHECKING:
    from dagster import DagsterInstance, DagsterLogManager, DagsterRun

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


def take_turn_of(
    run: DagsterRun, instance: DagsterInstance, home: Home, log: DagsterLogManager | None
) -> AbstractContextManager[Any]:
    """Waits for a run's turn, and says so in its log; returns what holds it, to be closed.

    A run without a sandbox has none: each asset refuses it.

    Raises:
        FedAssetsError: nobody wants the run any more.
    """
    sandbox = run.tags.get(PARTITION_TAG)
    if sandbox not in SANDBOX_NAMES:
        return nullcontext()
    require = require_wanted(instance, run.run_id)
    told = False

    def on_wait() -> None:
        nonlocal told
        require()
        if not told and log is not None:
            log.info(f"Waits for its turn: another run of {sandbox} is under way.")
        told = True

    return take_turn(home, sandbox, on_wait)
