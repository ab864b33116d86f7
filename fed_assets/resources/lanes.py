"""Runs one after another, such lanes of runs side by side, and stages of lanes in turn."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import ExitStack, closing
from typing import TypeVar

from fed_assets.resources.dagster_run import POLL_SECONDS, FinishedRun, Launch, StartedRun
from fed_assets.resources.home import Home
from fed_assets.resources.next_run import NextRun

Key = TypeVar("Key")


def run_stages(
    stages: Sequence[Sequence[Sequence[Key]]],
    launch: Callable[[Key], Launch],
    home: Home,
    *,
    on_start: Callable[[Key], None],
    on_end: Callable[[Key, FinishedRun], None],
    on_stop: Callable[[], None],
) -> None:
    """Runs stages one after another, in each all lanes side by side, the runs of a lane in a row.

    While a run goes on, the process of the next one gets ready; beside a run that is measured, once
    that has its report: it takes a processor for seconds.

    Args:
        stages: What stands for a run, lane by lane.
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
    to_start = [key for lanes in stages for lane in lanes for key in lane]

    def stop() -> None:
        # All at once: each is given its time to stop, and waited for one after another.
        for run in under_way:
            run.interrupt()
        if under_way:
            under_way.clear()
            on_stop()

    def in_a_row(keys: Sequence[Key]) -> Generator[None]:
        for key in keys:
            on_start(key)
            to_start.remove(key)
            with following.started(key) as run:
                under_way.append(run)
                try:
                    while (finished := run.ended()) is None:
                        if to_start and not run.measured:
                            following.make_ready(to_start[0])
                        yield
                except BaseException:  # Ctrl-C may come here as well as between two looks
                    stop()
                    raise
                under_way.remove(run)
            on_end(key, finished)

    with closing(NextRun(launch, home)) as following:
        for lanes in stages:
            with ExitStack() as open_lanes:
                going = [open_lanes.enter_context(closing(in_a_row(keys))) for keys in lanes]
                try:
                    while going := [each for each in going if _goes_on(each)]:
                        time.sleep(POLL_SECONDS)
                finally:
                    stop()


def _goes_on(lane: Iterator[None]) -> bool:
    return next(lane, "over") is None
