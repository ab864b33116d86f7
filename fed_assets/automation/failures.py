"""What becomes of a run that failed and that nobody had started by hand: whether it is tried again.

It is, a while later, where what made it fail may have passed by then: a hospital's machine was
away, a port was taken, Azure gave no answer. Which errors pass is told by their class (`passing`,
in `errors.py`); a failure of another kind, such as a process that was killed, tells nothing of
itself and counts as one that passes. Whatever passes is tried three times in all.

All of that is told by Dagster's own records of runs, so that there is no other state to keep.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

from dagster import DagsterEventType, DagsterInstance, DagsterRun, DagsterRunStatus

from fed_assets.assets.failures import KIND
from fed_assets.errors import error_from_record
from fed_assets.resources.earlier_runs import TRY_TAG

MOST_TRIES = 3
CHECK_FAILED = "DagsterAssetCheckFailedError"
BY_HAND = (
    "so it is not asked for again: mend what it tells and run the job take_up_new_images; images "
    "that change are taken up by themselves"
)


@dataclass(frozen=True)
class Outlook:
    """What is to become of a run that ended badly.

    Attributes:
        said: What became of it and what follows, as the end of a sentence about it.
        try_number: Which try comes next; None where none does.
        at: From when on, in seconds since 1970.
    """

    said: str
    try_number: int | None = None
    at: float = 0.0


def outlook(instance: DagsterInstance, run: DagsterRun, wait_seconds: float) -> Outlook:
    """Returns what is to become of a run that ended badly.

    Args:
        instance: Dagster's, which knows the run.
        run: The run.
        wait_seconds: How long after its end it is asked for again.
    """
    if run.status is DagsterRunStatus.CANCELED:
        return Outlook(f"was canceled, {BY_HAND}")
    tried = try_of(run)
    if tried is None:
        return Outlook(f"failed, {BY_HAND}")
    if not _passes(instance, run):
        return Outlook(f"failed of what does not pass by itself, {BY_HAND}")
    if tried >= MOST_TRIES:
        return Outlook(f"failed as try {tried} of {MOST_TRIES}, {BY_HAND}")
    at = _ended(instance, run) + wait_seconds
    when = datetime.fromtimestamp(at, UTC)
    said = f"failed; try {tried + 1} of {MOST_TRIES} is due from {when:%Y-%m-%d %H:%M} UTC on"
    return Outlook(said, tried + 1, at)


def try_of(run: DagsterRun) -> int | None:
    """Returns which try a run is; None where a person started it, or executed it again."""
    number = run.tags.get(TRY_TAG, "")
    return int(number) if number.isdecimal() and run.parent_run_id is None else None


def _ended(instance: DagsterInstance, run: DagsterRun) -> float:
    record = instance.get_run_record_by_id(run.run_id)
    if record is None:
        return 0.0
    return record.end_time or record.update_timestamp.timestamp()


def _passes(instance: DagsterInstance, run: DagsterRun) -> bool:
    """Returns whether nothing that failed in a run would fail again, as far as can be told.

    Where too few hospitals were let in, one of them has to have been kept out by what passes.
    """
    return all(
        any(map(_passing, _kinds_of_lanes(instance, run)))
        if kind == CHECK_FAILED
        else _passing(kind)
        for kind in _kinds_of_failures(instance, run)
    )


def _passing(kind: str) -> bool:
    error = error_from_record({"kind": kind})
    return type(error).__name__ != kind or error.passing


def _kinds_of_failures(instance: DagsterInstance, run: DagsterRun) -> Iterator[str]:
    """Yields the class of the error of each step that failed; of a foreign one, its name."""
    for entry in instance.all_logs(run.run_id, of_type=DagsterEventType.STEP_FAILURE):
        failure = entry.get_dagster_event().step_failure_data
        told = failure.user_failure_data.metadata if failure.user_failure_data else {}
        if KIND in told:
            yield str(told[KIND].value)
        elif failure.error is not None:
            yield failure.error.cls_name or ""


def _kinds_of_lanes(instance: DagsterInstance, run: DagsterRun) -> Iterator[str]:
    """Yields the class of the error that kept each hospital out whose lane the run ran."""
    made = DagsterEventType.ASSET_MATERIALIZATION
    for entry in instance.all_logs(run.run_id, of_type=made):
        found = entry.asset_materialization
        if found is not None and KIND in found.metadata:
            yield str(found.metadata[KIND].value)
