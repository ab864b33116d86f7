"""Which sandboxes were tried and failed, so that nobody is told that they were never run."""

from __future__ import annotations

from collections.abc import Container

from dagster import DagsterInstance, DagsterRunStatus, RunsFilter

from fed_assets.comparison.surroundings import AUDIT_FAILED, RUN_FAILED
from fed_assets.resources.earlier_runs import PARTITION_TAG
from fed_assets.resources.jobs import AUDIT, LIFECYCLE
from fed_assets.sandboxes.presets import SANDBOX_NAMES


def failed_jobs(
    instance: DagsterInstance, *, measured: Container[str], audited: Container[str]
) -> dict[str, list[str]]:
    """Returns, by sandbox, what of it there is none of as its last job of that kind failed.

    Args:
        instance: where runs are recorded.
        measured: the sandboxes of which a run is compared.
        audited: those of which an audit is.

    Returns:
        `run_failed`, `audit_failed`, or both; a sandbox without either is left out.
    """
    kinds = ((LIFECYCLE, measured, RUN_FAILED), (AUDIT, audited, AUDIT_FAILED))
    found = {
        sandbox: [
            kind
            for job, known, kind in kinds
            if sandbox not in known and _failed(instance, job, sandbox)
        ]
        for sandbox in SANDBOX_NAMES
    }
    return {sandbox: why for sandbox, why in found.items() if why}


def _failed(instance: DagsterInstance, job: str, sandbox: str) -> bool:
    last = instance.get_runs(RunsFilter(job_name=job, tags={PARTITION_TAG: sandbox}), limit=1)
    return any(run.status is DagsterRunStatus.FAILURE for run in last)
