"""Runs one after another, and such lanes of runs side by side."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import ExitStack, closing
from typing import TypeVar

from fed_assets.resources.dagster_run import POLL_SECONDS, FinishedRun, Launch, StartedRun, started
from fed_assets.resources.home import Home

Key = TypeVar("Key")


def run_lanes(
    lanes: Sequence[Sequence[Key]],
    launch: Callable[[Key], Launch],
    home: Home,
    *,
    on_start: Callable[[Key], None],
    on_end: Callable[[Key, FinishedRun], None],
    on_stop: Callable[[], None],
) -> None:
    """Runs each lane's runs one after another, and the lanes side by side.

    Args:
        lanes: What stands for a run, lane by lane.
        launch: Returns its launch.
        home: Where it runs.
        on_start: Is told of each that starts.
        on_end: Is told how each ended; a run that failed ends no lane.
        on_stop: Is told once that all under way were asked to stop, before they are waited for.

    Raises:
        KeyboardInterrupt: after all that were under way have stopped, side by side too.
        StorageError: Dagster's tables cannot be read or written; all were stopped.
    """
    under_way: list[StartedRun] = []

    def stop() -> None:
        # All at once: each is given its time to stop, and waited for one after another.
        for run in under_way:
            run.interrupt()
        if under_way:
            under_way.clear()
            on_stop()

    def lane(keys: Sequence[Key]) -> Generator[None]:
        for key in keys:
            on_start(key)
            with started(launch(key), home, on_progress=lambda _: None) as run:
                under_way.append(run)
                try:
                    while (finished := run.ended()) is None:
                        yield
                except BaseException:  # Ctrl-C may come here as well as between two looks
                    stop()
                    raise
                under_way.remove(run)
            on_end(key, finished)

    with ExitStack() as open_lanes:
        going = [open_lanes.enter_context(closing(lane(keys))) for keys in lanes]
        try:
            while going := [each for each in going if _goes_on(each)]:
                time.sleep(POLL_SECONDS)
        finally:
            stop()


def _goes_on(lane: Iterator[None]) -> bool:
    return next(lane, "over") is None
