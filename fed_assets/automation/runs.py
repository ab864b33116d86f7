"""What Dagster knows of a sandbox's runs: which is under way, and which took up what."""

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
_LANE = "fed_assets/new."


def lane_tag(hospital: str) -> str:
    """Returns the tag of a run that says which of a hospital's changes it takes up."""
    return f"{_LANE}{hospital}"


def lanes_of(run: DagsterRun) -> dict[str, str]:
    """Returns, by hospital, the changes that a run was asked to take up."""
    found = {tag: change for tag, change in run.tags.items() if tag.startswith(_LANE)}
    return {tag.removeprefix(_LANE): change for tag, change in sorted(found.items())}


def last_training(instance: DagsterInstance, sandbox: str) -> DagsterRun | None:
    """Returns the newest run of a sandbox that was to train; None if there was none lately."""
    runs = instance.get_runs(RunsFilter(tags={PARTITION_TAG: sandbox}), limit=LOOK_BACK_RUNS)
    return next((run for run in runs if run.job_name in TRAINING_JOBS), None)


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


def lanes_without_images(
    instance: DagsterInstance, sandbox: str, keys: Iterable[tuple[str, ...]]
) -> set[str]:
    """Returns the hospitals of which an asset was never materialized in a sandbox."""
    return {
        key[0]
        for key in keys
        if sandbox not in instance.get_materialized_partitions(AssetKey(list(key)))
    }
