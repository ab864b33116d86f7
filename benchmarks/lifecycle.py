"""Measures `dagster job execute` of a sandbox as shipped: wall seconds, peak memory, each step.

    python -m benchmarks.lifecycle [--sandbox minimal] [--roster FILE]

The home is a new one, as a newcomer's is. Memory is the proportional set size (shared pages are
split among their holders) of the run and all its descendants, summed, looked at every 5 s: a look
takes 0.2 CPU-seconds.
`dagster_seconds` is what the step of the training took beyond the federation that it ran.
Writes benchmarks/results/lifecycle-<sandbox>.json.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from dagster import AssetKey, DagsterInstance

from benchmarks.measure import run_measured
from fed_assets.resources.home import Home

RESULTS = Path(__file__).parent / "results"
SAMPLE_SECONDS = 5.0
TIMEOUT_SECONDS = 3600.0
TRAINING = "federated_training"


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--sandbox", default="minimal")
    options.add_argument("--roster", type=Path)
    options.add_argument("--name", help="name of the result; the sandbox's, if left out")
    chosen = options.parse_args()
    with tempfile.TemporaryDirectory(dir=Path.cwd(), prefix=".bench-") as folder:
        result = measure(Home(Path(folder) / "home").prepare(), chosen.sandbox, chosen.roster)
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"lifecycle-{chosen.name or chosen.sandbox}.json"
    path.write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps(result, indent=1))


def measure(
    home: Home, sandbox: str, roster: Path | None = None, data: Path | None = None
) -> dict[str, Any]:
    command = ["dagster", "job", "execute", "-m", "fed_assets", "-j", "federated_lifecycle"]
    command += ["--tags", json.dumps({"dagster/partition": sandbox})]
    environment = os.environ | {
        "FED_ASSETS_HOME": str(home.root),
        "DAGSTER_HOME": str(home.instance),
    }
    if data is not None:
        environment["FED_ASSETS_DATA"] = str(data.resolve())
    if roster is not None:
        environment["FED_ASSETS_ROSTER"] = str(roster.resolve())
    # Where keys are attested, the code is approved first, which is not what is measured.
    approve = [sys.executable, "-m", "fed_assets.cli", "approve-code", sandbox]
    subprocess.run(approve, env=environment, check=True, stdout=subprocess.DEVNULL)
    log = home.root / "run.log"
    usage = run_measured(
        [sys.executable, "-m", *command],
        environment=environment,
        folder=Path.cwd(),
        log=log,
        timeout_seconds=TIMEOUT_SECONDS,
        sample_seconds=SAMPLE_SECONDS,
    )
    if usage.exit_code != 0 or usage.peak is None:
        sys.exit(log.read_text()[-3000:])
    report = json.loads((home.report(sandbox) / "report.json").read_text())
    with DagsterInstance.from_config(str(home.instance)) as instance:
        steps = _step_seconds(instance)
        federation_seconds = _federation_seconds(instance)
    return {
        "command": subprocess.list2cmdline(command),
        "sandbox": sandbox,
        "data": report["data"],
        "rounds": report["rounds"],
        "seconds": round(usage.seconds, 1),
        "cpu_seconds": round(usage.cpu_seconds, 1),
        "stolen_cpu_seconds": usage.stolen_cpu_seconds,
        "peak_memory_gb": round(usage.peak.memory_bytes / 1e9, 2),
        "peak_processes": usage.peak.processes,
        "steps": steps,
        "federation_seconds": round(federation_seconds, 2),
        "dagster_seconds": round(steps[TRAINING] - federation_seconds, 2),
        "auroc": report["test"]["auroc"],
        "accuracy": report["test"]["accuracy"],
        "machine": {"system": platform.platform(), "cores": os.cpu_count()},
        "load_before": usage.load_before,
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def _step_seconds(instance: DagsterInstance) -> dict[str, float]:
    """Returns the seconds of each kind of step, hospitals added up."""
    seconds: dict[str, float] = {}
    (run,) = instance.get_runs()
    for step in instance.get_run_step_stats(run.run_id):
        kind = step.step_key.split("__")[-1]
        taken = (step.end_time or 0) - (step.start_time or 0)
        seconds[kind] = round(seconds.get(kind, 0) + taken, 2)
    return seconds


def _federation_seconds(instance: DagsterInstance) -> float:
    """Returns the seconds that the federation itself says it took."""
    record = instance.get_latest_materialization_event(AssetKey("global_model"))
    if record is None or record.asset_materialization is None:
        sys.exit("the run has made no global_model")
    return float(record.asset_materialization.metadata["seconds"].value)


if __name__ == "__main__":
    main()
