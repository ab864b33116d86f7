"""How long the last jobs of a home took that ended well."""

from __future__ import annotations

from collections.abc import Iterable

from fed_assets.resources.dagster_run import instance_of
from fed_assets.resources.earlier_runs import PARTITION_TAG
from fed_assets.resources.home import Home

LOOK_BACK_RUNS = 20


def earlier_seconds(home: Home, jobs: Iterable[str]) -> dict[tuple[str, str | None], float]:
    """Returns the seconds of the last run of each job that ended well, by job and sandbox.

    Args:
        home: where they ran.
        jobs: their names; of one without partitions, None stands for the sandbox.

    Raises:
        StorageError: Dagster's tables cannot be read or written.
    """
    from dagster import DagsterRunStatus, RunsFilter

    found: dict[tuple[str, str | None], float] = {}
    with instance_of(home) as instance:
        for job in jobs:
            ended = RunsFilter(job_name=job, statuses=[DagsterRunStatus.SUCCESS])
            for record in instance.get_run_records(ended, limit=LOOK_BACK_RUNS):  # newest first
                sandbox = record.dagster_run.tags.get(PARTITION_TAG)
                if record.start_time and record.end_time:
                    found.setdefault((job, sandbox), record.end_time - record.start_time)
    return found
