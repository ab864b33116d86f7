"""Which sandboxes were tried and failed, so that nobody is told that they were never run."""

from __future__ import annotations

from collections.abc import Container
from typing import Any

from dagster import DagsterInstance, DagsterRun, DagsterRunStatus, RunsFilter

from fed_assets.comparison.surroundings import AUDIT_FAILED, RUN_FAILED
from fed_assets.resources.earlier_runs import PARTITION_TAG
from fed_assets.resources.jobs import AUDIT, LIFECYCLE
from fed_assets.sandboxes.presets import SANDBOX_NAMES


def failed_jobs(
    instance: DagsterInstance,
    *,
    measured: Container[str],
    audited: Container[str],
    left_out: Container[tuple[str, int]] = (),
    first_seed: int = 0,
) -> dict[str, list[str]]:
    """Returns, by sandbox, what of it there is none of as its last job of that kind failed.

    A run that was left out now is missing for that, though it failed before.

    Args:
        instance: where runs are recorded.
        measured: the sandboxes of which a run is compared.
        audited: those of which an audit is.
        left_out: sandbox and seed of the runs that were left out.
        first_seed: of a run that names none.

    Returns:
        `run_failed`, `audit_failed`, or both; a sandbox without either is left out.
    """
    found: dict[str, list[str]] = {}
    for sandbox in SANDBOX_NAMES:
        run, audit = _failed(instance, LIFECYCLE, sandbox), _failed(instance, AUDIT, sandbox)
        again = run is not None and (sandbox, _seed(run, first_seed)) in left_out
        if run and sandbox not in measured and not again:
            found.setdefault(sandbox, []).append(RUN_FAILED)
        if audit and sandbox not in audited:
            found.setdefault(sandbox, []).append(AUDIT_FAILED)
    return found


def _failed(instance: DagsterInstance, job: str, sandbox: str) -> DagsterRun | None:
    """Returns a sandbox's last run of a job, if it failed."""
    last = instance.get_runs(RunsFilter(job_name=job, tags={PARTITION_TAG: sandbox}), limit=1)
    return next((run for run in last if run.status is DagsterRunStatus.FAILURE), None)


def _seed(run: DagsterRun, first_seed: int) -> int:
    ops: Any = run.run_config.get("ops", {})
    seed: int | None = ops.get("federated_training", {}).get("config", {}).get("seed")
    return first_seed if seed is None else seed
