"""The runs that failed or were killed, and that a new one may go on from."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from fed_assets.resources.jobs import RETRAIN

if TYPE_CHECKING:
    from dagster import DagsterInstance, DagsterRun

PARTITION_TAG = "dagster/partition"
# Of a run that nobody started by hand: which try it is of what it was asked for, from 1.
TRY_TAG = "fed_assets/try"
# Runs that trained nothing, such as a hospital's images alone, lie between those that did.
LOOK_BACK_RUNS = 200


def goes_on(run: DagsterRun) -> bool:
    """Returns whether a run goes on from one that failed though it does not execute it again.

    That is what the job `retrain` is for, and what a try that nobody started by hand has to do:
    rounds that were paid for, such as from privacy budgets, are not paid for twice.
    """
    return run.job_name == RETRAIN or TRY_TAG in run.tags


def failed_ancestors(instance: DagsterInstance, run: DagsterRun) -> Iterator[str]:
    """Yields the failed runs that this one executes again, its parent first."""
    parent = run.parent_run_id
    while parent is not None:
        ancestor = instance.get_run_by_id(parent)
        if ancestor is None or not ancestor.is_failure_or_canceled:
            return
        yield parent
        parent = ancestor.parent_run_id


def failed_since_success(
    instance: DagsterInstance, run: DagsterRun, trained: Callable[[str], bool]
) -> Iterator[str]:
    """Yields the runs of this one's partition that failed after the last success, newest first.

    A run that has not ended is none of them, nor does it hide those before it.

    Args:
        instance: Dagster's.
        run: The new run.
        trained: Says whether a run of an id got as far as to train; no other counts.
    """
    from dagster import DagsterRunStatus, RunsFilter

    ended = [DagsterRunStatus.SUCCESS, DagsterRunStatus.FAILURE, DagsterRunStatus.CANCELED]
    tags = {PARTITION_TAG: run.tags[PARTITION_TAG]}
    for earlier in instance.get_runs(RunsFilter(tags=tags, statuses=ended), limit=LOOK_BACK_RUNS):
        if not trained(earlier.run_id):
            continue
        if earlier.status == DagsterRunStatus.SUCCESS:
            return
        yield earlier.run_id
