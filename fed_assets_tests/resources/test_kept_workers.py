"""When a worker is lent again, and when it ends."""

from __future__ import annotations

from typing import Any, cast

import pytest

from fed_assets.errors import WorkerFailed
from fed_assets.resources.kept_workers import KeptWorkers
from fed_assets.resources.worker_process import WorkerProcess


class StandIn:
    """In place of a process."""

    def __init__(self) -> None:
        self.alive = True

    def close(self) -> None:
        self.alive = False


def start() -> WorkerProcess:
    return cast(WorkerProcess, StandIn())


def asked(workers: KeptWorkers, kept_as: Any = "open data") -> WorkerProcess:
    with workers.lent(start, kept_as) as worker:
        assert worker.alive
    return worker


def test_one_that_is_kept_is_lent_again_for_its_kind_alone() -> None:
    workers = KeptWorkers()
    first = asked(workers)
    assert asked(workers) is first
    assert asked(workers, "another template's") is not first
    assert asked(workers) is first


def test_one_of_no_kind_ends_with_its_task() -> None:
    workers = KeptWorkers()
    kept, own = asked(workers), asked(workers, None)
    assert (kept.alive, own.alive) == (True, False)
    assert asked(workers, None) not in (kept, own)


def test_two_who_ask_at_once_are_lent_two() -> None:
    workers = KeptWorkers()
    with workers.lent(start, "open data") as one, workers.lent(start, "open data") as other:
        assert one is not other
    assert asked(workers) in (one, other)


def test_one_whose_task_was_refused_is_lent_again_and_one_that_died_is_not() -> None:
    workers = KeptWorkers()
    with pytest.raises(ValueError), workers.lent(start, "open data") as refused:
        raise ValueError
    assert asked(workers) is refused
    cast(StandIn, refused).alive = False
    after = asked(workers)
    assert after is not refused
    with pytest.raises(ValueError), workers.lent(start, "open data") as died:
        cast(StandIn, died).alive = False
        raise ValueError
    assert died is after
    assert asked(workers) is not after


def test_one_that_failed_as_nobody_foresaw_is_lent_no_more() -> None:
    workers = KeptWorkers()
    with pytest.raises(WorkerFailed), workers.lent(start, "open data") as failed:
        raise WorkerFailed("out of a card's memory")
    assert not failed.alive
    assert asked(workers) is not failed


def test_all_that_are_kept_end_in_the_end() -> None:
    workers = KeptWorkers()
    with workers.lent(start, "open data") as one:
        other = asked(workers)
    workers.close()
    assert not one.alive
    assert not other.alive
