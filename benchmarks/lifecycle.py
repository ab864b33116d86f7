"""Measures `dagster job execute` of a sandbox as shipped: wall seconds, peak memory, each step.

    python benchmarks/lifecycle.py [--sandbox minimal] [--roster FILE]

The home is a new one, as a newcomer's is. Memory is the proportional set size (shared pages are
split among their holders) of the run and all its descendants, summed, sampled twice a second.
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
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil
from dagster import DagsterInstance

from fed_assets.resources.home import Home

RESULTS = Path(__file__).parent / "results"
SAMPLE_SECONDS = 0.5


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


def measure(home: Home, sandbox: str, roster: Path | None) -> dict[str, Any]:
    command = ["dagster", "job", "execute", "-m", "fed_assets", "-j", "federated_lifecycle"]
    command += ["--tags", json.dumps({"dagster/partition": sandbox})]
    environment = os.environ | {
        "FED_ASSETS_HOME": str(home.root),
        "DAGSTER_HOME": str(home.instance),
    }
    if roster is not None:
        environment["FED_ASSETS_ROSTER"] = str(roster.resolve())
    started = time.monotonic()
    load_before = os.getloadavg()[0]
    with (home.root / "run.log").open("wb") as log:
        run = psutil.Popen(
            [sys.executable, "-m", *command], env=environment, stdout=log, stderr=log
        )
        peak_memory_bytes = 0
        peak_processes = 0
        while run.poll() is None:
            memory, processes = _tree_memory(run)
            peak_memory_bytes = max(peak_memory_bytes, memory)
            peak_processes = max(peak_processes, processes)
            time.sleep(SAMPLE_SECONDS)
    seconds = time.monotonic() - started
    if run.returncode != 0:
        sys.exit((home.root / "run.log").read_text()[-3000:])
    report = json.loads((home.report(sandbox) / "report.json").read_text())
    return {
        "command": subprocess.list2cmdline(command),
        "sandbox": sandbox,
        "data": report["data"],
        "rounds": report["rounds"],
        "seconds": round(seconds, 1),
        "peak_memory_gb": round(peak_memory_bytes / 1e9, 2),
        "peak_processes": peak_processes,
        "steps": _step_seconds(home),
        "auroc": report["test"]["auroc"],
        "accuracy": report["test"]["accuracy"],
        "machine": {"system": platform.platform(), "cores": os.cpu_count()},
        "load_before": round(load_before, 2),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def _tree_memory(root: psutil.Process) -> tuple[int, int]:
    total = count = 0
    for process in [root, *root.children(recursive=True)]:
        try:
            total += process.memory_full_info().pss
            count += 1
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
    return total, count


def _step_seconds(home: Home) -> dict[str, float]:
    """Returns the seconds of each kind of step, hospitals added up."""
    seconds: dict[str, float] = {}
    with DagsterInstance.from_config(str(home.instance)) as instance:
        (run,) = instance.get_runs()
        for step in instance.get_run_step_stats(run.run_id):
            kind = step.step_key.split("__")[-1]
            taken = (step.end_time or 0) - (step.start_time or 0)
            seconds[kind] = round(seconds.get(kind, 0) + taken, 2)
    return seconds


if __name__ == "__main__":
    main()
