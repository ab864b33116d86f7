"""NVFlare's own simulator of the work: its FedAvg, a thread and a process for each hospital.

`python -m benchmarks.federation.simulator WORK.json OUTCOME.json`
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from pathlib import Path

from benchmarks.federation.work import Work

CONTROLLER = "benchmarks.federation.simulated_rounds.WorkFedAvg"
EXECUTOR = "benchmarks.federation.executors.SimulatedExecutor"


def write_job(folder: Path, work: str, outcome: str) -> Path:
    """Writes the job that carries the work out, and returns its folder."""
    job = folder / "job"
    config = job / "app" / "config"
    config.mkdir(parents=True)
    controller = {"path": CONTROLLER, "args": {"work": work, "outcome": outcome}}
    executor = {"path": EXECUTOR, "args": {"work": work}}
    documents = {
        job / "meta.json": {
            "name": "work",
            "min_clients": len(Work.read(work).stores),
            "deploy_map": {"app": ["@ALL"]},
        },
        config / "config_fed_server.json": {
            "format_version": 2,
            "workflows": [{"id": "rounds", **controller}],
        },
        config / "config_fed_client.json": {
            "format_version": 2,
            "executors": [{"tasks": ["train"], "executor": executor}],
        },
    }
    for path, document in documents.items():
        path.write_text(json.dumps(document))
    return job


def main() -> int:
    from nvflare.private.fed.app.simulator.simulator_runner import SimulatorRunner

    work, outcome = sys.argv[1:]
    folder = Path(tempfile.mkdtemp())
    # The simulator refuses every class that its workspace does not allow.
    local = folder / "workspace" / "local"
    local.mkdir(parents=True)
    allowed = {"format_version": 2, "class_allow_list": [CONTROLLER, EXECUTOR]}
    (local / "resources.json").write_text(json.dumps(allowed))
    hospitals = list(Work.read(work).stores)
    runner = SimulatorRunner(
        job_folder=str(write_job(folder, work, outcome)),
        workspace=str(folder / "workspace"),
        clients=",".join(hospitals),
        threads=len(hospitals),
    )
    return int(runner.run() or 0)


if __name__ == "__main__":
    code = main()
    sys.stderr.flush()
    os._exit(code)
