"""What Dagster knows of a sandbox's runs: which is under way, and what became of a request."""

from __future__ import annotations

from collections.abc import Iterable

from dagster import AssetKey, DagsterInstance, DagsterRun, DagsterRunStatus, RunsFilter

from fed_assets.resources.earlier_runs import PARTITION_TAG
from fed_assets.resources.jobs import LIFECYCLE, NEW_IMAGES, RETRAIN

WHY_TAG = "fed_assets/why"  # of a run: what there is to say of its being asked for
LOOK_BACK_RUNS = 20  # at every look
TRAINING_JOBS = (LIFECYCLE, NEW_IMAGES, RETRAIN)
GOING_ON = [
    DagsterRunStatus.QUEUED,
    DagsterRunStatus.NOT_STARTED,
    DagsterRunStatus.STARTING,
    DagsterRunStatus.STARTED,
    DagsterRunStatus.CANCELING,
]
ENDED_BADLY = (DagsterRunStatus.FAILURE, DagsterRunStatus.CANCELED)


def lane_tag(hospital: str) -> str:
    """Returns the tag of a run that says which of a hospital's changes it takes up."""
    return f"fed_assets/new.{hospital}"


def under_way(instance: DagsterInstance, sandbox: str) -> DagsterRun | None:
    """Returns a run of a sandbox that has not ended, or waits; None if there is none."""
    wanted = RunsFilter(tags={PARTITION_TAG: sandbox}, statuses=GOING_ON)
    return next(iter(instance.get_runs(wanted, limit=1)), None)


def asked_before(
    instance: DagsterInstance, sandbox: str, hospital: str, change: str
) -> DagsterRun | None:
    """Returns the run that was asked for a hospital's change; None if none ever was."""
    tags = {PARTITION_TAG: sandbox, lane_tag(hospital): change}
    return next(iter(instance.get_runs(RunsFilter(tags=tags), limit=1)), None)


def failed_to_take_up(instance: DagsterInstance, sandbox: str, hospital: str) -> DagsterRun | None:
    """Returns the failed run that took up a hospital's images last, unless one succeeded since."""
    wanted = RunsFilter(tags={PARTITION_TAG: sandbox})
    for run in instance.get_runs(wanted, limit=LOOK_BACK_RUNS):
        if run.job_name in TRAINING_JOBS and run.status is DagsterRunStatus.SUCCESS:
            return None
        if lane_tag(hospital) in run.tags and run.status in ENDED_BADLY:
            return run
    return None


def became_of(run: DagsterRun) -> str:
    """Returns what became of a run, as the end of a sentence about it.

    A run that failed is not asked for again with the same images: it would fail again, every
    minute.
    """
    if run.status not in ENDED_BADLY:
        return "has taken it up"
    ended = "failed" if run.status is DagsterRunStatus.FAILURE else "was canceled"
    return (
        f"was to take it up and {ended}, so it is not asked for again: see that run, then "
        "materialize the hospital's images by hand, or mend them, which is taken up by itself"
    )


def lanes_without_images(
    instance: DagsterInstance, sandbox: str, keys: Iterable[tuple[str, ...]]
) -> set[str]:
    """Returns the hospitals of which an asset was never materialized in a sandbox."""
    return {
        key[0]
        for key in keys
        if sandbox not in instance.get_materialized_partitions(AssetKey(list(key)))
    }
