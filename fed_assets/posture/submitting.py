"""Jobs of code that the hospital has not allowed: brought along, or named. Where it runs, it shows.

Both jobs are the federation's own but for the executor, which leaves a mark in the hospital's store
as soon as it is built.
"""

from __future__ import annotations

import json
import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from fed_assets.errors import JobFailed, TimeLimitPassed
from fed_assets.federation.ended import read_ended
from fed_assets.federation.job import write_job
from fed_assets.federation.live import LiveFederation
from fed_assets.federation.plan import FederationPlan
from fed_assets.posture.evidence import Attempt
from fed_assets.posture.transit_notes import Notes

OWN_CODE, UNLISTED_CLASS = "submit_own_code", "name_unlisted_class"
CODE_PROBES = (OWN_CODE, UNLISTED_CLASS)
JOBS = "submitted"
END_SECONDS, LOOK_SECONDS = 30.0, 0.2
BROUGHT = """
from pathlib import Path

class Brought:
    def __init__(self, mark):
        Path(mark).touch()
"""
# Of Python itself: it is installed everywhere, and makes the file that it is told of.
UNLISTED = "logging.FileHandler"


def take_list_away(hospital: Path) -> None:
    """Lets a hospital that has not started yet build any class that is installed."""
    file = hospital / "local" / "resources.json"
    resources = json.loads(file.read_text())
    resources["class_list_enforcement_mode"] = "warn"
    file.write_text(json.dumps(resources))


def try_to_submit(live: LiveFederation, plan: FederationPlan, notes: Notes) -> None:
    """Submits both jobs, and notes whether their code ran.

    Nothing is noted of one whose code neither ran nor was refused in time.
    """
    notes.begin()
    jobs = {
        OWN_CODE: _job(plan, OWN_CODE, "brought.Brought", "mark", brought=BROUGHT),
        UNLISTED_CLASS: _job(plan, UNLISTED_CLASS, UNLISTED, "filename"),
    }
    ids = {}
    for name, job in jobs.items():
        with suppress(TimeLimitPassed):
            ids[name] = _submitted(live, job)
    for name, job_id in ids.items():
        with suppress(JobFailed, TimeLimitPassed):
            notes.attempt(name, _outcome(live, plan, name, job_id))


def _job(
    plan: FederationPlan, name: str, executor: str, argument: str, *, brought: str = ""
) -> Path:
    """Returns the plan's job with another executor, which is told where to leave its mark."""
    root = Path(plan.folder).parent / JOBS / name
    root.mkdir(parents=True, mode=0o700)
    job = write_job(replace(plan, folder=str(root), outbox=str(root / "outbox"), rounds=1))
    config = job / "app" / "config" / "config_fed_client.json"
    content: dict[str, Any] = json.loads(config.read_text())
    told = {argument: str(_mark(plan, name))}
    content["executors"][0]["executor"] = {"path": executor, "args": told}
    config.write_text(json.dumps(content))
    if brought:
        custom = job / "app" / "custom"
        custom.mkdir()
        (custom / "brought.py").write_text(brought)
    return job


def _mark(plan: FederationPlan, name: str) -> Path:
    return Path(plan.stores[plan.hospitals[0]]) / f"{name}.mark"


def _submitted(live: LiveFederation, job: Path) -> str:
    """Returns the id of a job that the server took; nothing, where it refused it."""
    try:
        return live.admin.submit(job)
    except JobFailed:
        return ""


def _outcome(live: LiveFederation, plan: FederationPlan, name: str, job_id: str) -> Attempt:
    deadline = time.monotonic() + END_SECONDS
    workspace = live.federation.kits.hospitals[plan.hospitals[0]]
    while time.monotonic() < deadline:
        ended = not job_id or _has_ended(live, workspace, job_id)
        if _mark(plan, name).exists():
            return Attempt(True, {"marks": 1, "job": "ran"})
        if ended:
            return Attempt(False, {"marks": 0, "job": "ended" if job_id else "refused"})
        time.sleep(LOOK_SECONDS)
    raise JobFailed("A job of code that was not allowed neither ran nor ended in time")


def _has_ended(live: LiveFederation, workspace: Path, job_id: str) -> bool:
    """Says whether the hospital's process of a job has ended, or the job without one."""
    if read_ended(workspace, job_id) is not None:
        return True
    return str(live.admin.job(job_id)["status"]).startswith("FINISHED")
