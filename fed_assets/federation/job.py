"""The job that a federation runs: three JSON files, no code."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from fed_assets.federation.outbox import written
from fed_assets.federation.plan import FederationPlan
from fed_assets.federation.policies import (
    CONTROLLER,
    FETCH_FILTER,
    OFFER_FILTER,
    PACE,
    REPLY_SECONDS,
)
from fed_assets.federation.weights import are_large
from fed_assets.privacy import encryption_terms, masking_terms

TASK = "train"
# How often a hospital asks for its next task at first, see `pace`.
POLL_SECONDS = 0.05
_COMMON: dict[str, Any] = {
    "format_version": 2,
    "np_download_chunk_size": 0,  # arrays travel inside a message, or as files of ours
    "end_run_readiness_check_interval": 0.05,
    "task_data_filters": [],
    "task_result_filters": [],
}


def write_job(plan: FederationPlan) -> Path:
    """Writes the plan and the job that carries it out into the plan's folder.

    Returns:
        The job's folder.

    Raises:
        StorageError: It could not be written.
    """
    with written("The job", Path(plan.folder)):
        return _write_job(plan, Path(plan.folder))


def _write_job(plan: FederationPlan, folder: Path) -> Path:
    plan_file = folder / "plan.json"
    plan.write(plan_file)
    job = folder / "job"
    config = job / "app" / "config"
    config.mkdir(parents=True)
    _write(
        job / "meta.json",
        {
            "name": plan.sandbox,
            "resource_spec": {},
            "min_clients": plan.quorum,
            "deploy_map": {"app": ["@ALL"]},
        },
    )
    # NVFlare resolves braces and `path` keys inside a component's arguments, which a network's
    # config may hold: the controller gets the plan as a file.
    controller = {"id": "rounds", "path": CONTROLLER, "args": {"plan": str(plan_file)}}
    terms = encryption_terms if plan.encrypts else masking_terms
    tasks = [TASK, *(terms.TASKS if plan.hides_updates else ())]
    executor = {"tasks": tasks, "executor": {"path": plan.executor, "args": {}}}
    _write(
        config / "config_fed_server.json",
        {
            **_COMMON,
            "server": {"heart_beat_timeout": 600, "task_request_interval": POLL_SECONDS},
            "components": [],
            "workflows": [controller],
        },
    )
    _write(
        config / "config_fed_client.json",
        {
            **_COMMON,
            **_filters(plan),
            "default_task_fetch_interval": POLL_SECONDS,
            "task_check_interval": 0.1,
            "submit_task_result_timeout": REPLY_SECONDS,
            "runner_sync_timeout": 1.0,
            "components": [{"id": "pace", "path": PACE, "args": {}}],
            "executors": [executor],
        },
    )
    return job


def _filters(plan: FederationPlan) -> dict[str, Any]:
    """Returns what turns large weights into files, and files into weights, at a hospital."""
    if not are_large(Path(plan.initial_weights)):
        return {}
    fetch = {"path": FETCH_FILTER, "args": {}}
    offer = {"path": OFFER_FILTER, "args": {"seconds": plan.round_timeout_seconds}}
    return {
        "task_data_filters": [{"tasks": [TASK], "filters": [fetch]}],
        "task_result_filters": [{"tasks": [TASK], "filters": [offer]}],
    }


def _write(path: Path, document: dict[str, Any]) -> None:
    path.write_text(json.dumps(document, indent=1))
