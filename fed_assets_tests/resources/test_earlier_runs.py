"""Which runs a new one may go on from, by how they ended and in what order."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from dagster import DagsterInstance, DagsterRun, DagsterRunStatus, job, op

from fed_assets.resources.earlier_runs import (
    TRY_TAG,
    failed_ancestors,
    failed_since_success,
    goes_on,
)

SUCCESS, FAILURE = DagsterRunStatus.SUCCESS, DagsterRunStatus.FAILURE
CANCELED, STARTED = DagsterRunStatus.CANCELED, DagsterRunStatus.STARTED
Make = Callable[..., DagsterRun]


@op
def nothing() -> None: ...


@job
def one() -> None:
    nothing()


@pytest.fixture
def instance() -> Iterator[DagsterInstance]:
    with DagsterInstance.ephemeral() as instance:
        yield instance


@pytest.fixture
def make(instance: DagsterInstance) -> Make:
    """Returns a function that makes a run of a status in a partition."""

    def make(
        status: DagsterRunStatus = STARTED,
        *,
        sandbox: str = "minimal",
        parent: DagsterRun | None = None,
    ) -> DagsterRun:
        return instance.create_run_for_job(
            one,
            status=status,
            tags={"dagster/partition": sandbox},
            parent_run_id=parent.run_id if parent else None,
            root_run_id=(parent.root_run_id or parent.run_id) if parent else None,
        )

    return make


def test_a_re_execution_goes_on_from_its_parent_or_else_from_the_parents_parent(
    instance: DagsterInstance, make: Make
) -> None:
    first = make(FAILURE)
    second = make(CANCELED, parent=first)
    make(FAILURE)
    found = list(failed_ancestors(instance, make(parent=second)))
    assert found == [second.run_id, first.run_id]


def test_a_run_that_succeeded_is_executed_again_from_the_start(
    instance: DagsterInstance, make: Make
) -> None:
    succeeded = make(SUCCESS, parent=make(FAILURE))
    assert list(failed_ancestors(instance, make(parent=succeeded))) == []
    assert list(failed_ancestors(instance, make())) == []


def test_what_failed_since_the_last_success_is_found_newest_first(
    instance: DagsterInstance, make: Make
) -> None:
    make(FAILURE)
    make(SUCCESS)
    older = make(FAILURE)
    make(SUCCESS, sandbox="eyes_on")
    make(STARTED)
    newer = make(CANCELED)
    found = failed_since_success(instance, make(), lambda run: True)
    assert list(found) == [newer.run_id, older.run_id]


def test_a_success_that_trained_nothing_hides_nothing(
    instance: DagsterInstance, make: Make
) -> None:
    failed = make(FAILURE)
    images = make(SUCCESS)
    found = failed_since_success(instance, make(), lambda run: run != images.run_id)
    assert list(found) == [failed.run_id]


@pytest.mark.parametrize(
    ("job_name", "tags", "goes"),
    [
        ("retrain", {}, True),
        ("take_up_new_images", {TRY_TAG: "1"}, True),
        ("take_up_new_images", {}, False),
        ("federated_lifecycle", {}, False),
    ],
)
def test_retrain_and_what_nobody_started_by_hand_go_on_and_what_a_person_starts_does_not(
    job_name: str, tags: dict[str, str], goes: bool
) -> None:
    assert goes_on(DagsterRun(job_name=job_name, tags=tags)) is goes
