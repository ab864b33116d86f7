"""Our federation: provisioned with mTLS, started, and given one job after another.

`python -m benchmarks.federation.ours JOBS.json OUTCOME.json`
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks.federation.work import Work
from benchmarks.measure import Peak, tree, tree_cpu_seconds, watched_memory
from fed_assets.federation.plan import FederationPlan
from fed_assets.federation.session import open_federation
from fed_assets.sandboxes.protection import Protection

STEP = "benchmarks.federation.executors.StepExecutor"
IDLE = "benchmarks.federation.idle_executor.IdleExecutor"
WIND_DOWN_SECONDS = 15.0


@dataclass(frozen=True)
class Job:
    """One job of a federation.

    Attributes:
        name: Of the job, and of its folder.
        work: Path of the work's JSON file.
        sample_seconds: How often to look at memory in its last round; None: not at all.
    """

    name: str
    work: str
    sample_seconds: float | None = None


def write_jobs(
    path: Path,
    *,
    folder: Path,
    executor: str,
    jobs: list[Job],
    protection: Protection | None = None,
) -> None:
    """Writes what `main` is told: where to work, what hospitals run and promise, and the jobs."""
    content = {
        "folder": str(folder),
        "executor": executor,
        "update_protection": (protection or Protection()).as_record(),
        "jobs": [asdict(job) for job in jobs],
    }
    path.write_text(json.dumps(content, indent=1))


def plan_of(work: Work, folder: Path, told: Mapping[str, Any]) -> FederationPlan:
    """Returns the plan of a work: mTLS, and no code in the job, as in the sandbox eyes_on."""
    return FederationPlan(
        sandbox="eyes_on",
        transport="mtls",
        job_code="preinstalled",
        hospitals=tuple(work.stores),
        stores=work.stores,
        folder=str(folder),
        outbox=str(folder / "outbox"),
        initial_weights=work.initial_weights,
        rounds=work.rounds,
        seed=work.seed,
        recipe=work.recipe,
        network=work.network,
        classes=work.classes,
        channels=work.channels,
        quorum=len(work.stores),
        executor=told["executor"],
        update_protection=told["update_protection"],
    )


def run_job(run: Callable[..., Any], job: Job, plan: FederationPlan) -> dict[str, Any]:
    """Runs one job and returns what it took, from its submission to the end of its last round.

    `cpu_seconds` are those of the whole tree until the job has wound down, which goes on for some
    seconds after its result could be read.
    """
    resting = len(tree(os.getpid()))
    cpu_before, submitted_at = tree_cpu_seconds(os.getpid()), time.monotonic()
    rounds: list[dict[str, Any]] = []
    peak: Peak | None = None
    with ExitStack() as last_round:

        def on_event(event: Mapping[str, Any]) -> None:
            nonlocal peak
            if event["event"] == "round":
                at = round(time.monotonic() - submitted_at, 3)
                rounds.append({"at": at, **_of_round(event["round"])})
            if job.sample_seconds and peak is None and len(rounds) == plan.rounds - 1:
                peak = last_round.enter_context(watched_memory(job.sample_seconds))

        result = run(plan, on_event)
    readable_at = time.monotonic()
    cpu_when_readable = tree_cpu_seconds(os.getpid())
    while len(tree(os.getpid())) > resting:
        if time.monotonic() > readable_at + WIND_DOWN_SECONDS:
            raise SystemExit(f"the job {job.name} does not end")
        time.sleep(0.1)
    return {
        "name": job.name,
        "readable_at": readable_at,
        "seconds": round(readable_at - submitted_at, 3),
        "cpu_seconds": round(tree_cpu_seconds(os.getpid()) - cpu_before, 2),
        "cpu_seconds_until_readable": round(cpu_when_readable - cpu_before, 2),
        "cpu_seconds_since_start": round(cpu_when_readable, 2),
        "wind_down_seconds": round(time.monotonic() - readable_at, 2),
        "peak_memory_bytes": peak.memory_bytes if peak else None,
        "processes": peak.processes if peak else None,
        "rounds": rounds,
        "status": result.status,
        "weights": result.final_weights,
        "digest": result.final_digest,
    }


def _of_round(record: Mapping[str, Any]) -> dict[str, Any]:
    reports = record["participants"].values()
    sizes = {name: sum(report[name] for report in reports) for name in ("bytes_up", "bytes_down")}
    return {
        "seconds": record["seconds"],
        "longest_step_seconds": max(report["seconds"] for report in reports),
        **sizes,
    }


def main() -> None:
    told = json.loads(Path(sys.argv[1]).read_text())
    jobs = [Job(**job) for job in told["jobs"]]
    folder = Path(told["folder"])
    marks: dict[str, float] = {}

    def on_event(event: Mapping[str, Any]) -> None:
        marks[f"{event['event']}_at"] = time.monotonic()

    first = plan_of(Work.read(jobs[0].work), folder / "federation", told)
    with open_federation(first, on_event) as federation:
        done = []
        for job in jobs:
            plan = plan_of(Work.read(job.work), folder / job.name, told)
            done.append(run_job(federation.run, job, plan))
    Path(sys.argv[2]).write_text(json.dumps({**marks, "jobs": done}))


if __name__ == "__main__":
    main()
    sys.stderr.flush()
    os._exit(0)  # threads of NVFlare's session may not end by themselves
