"""The arms: each a process of its own that does a work, measured from its start to its result."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.federation.ours import STEP, Job, write_jobs
from benchmarks.measure import Usage, run_measured
from benchmarks.quality import PROJECT
from fed_assets.federation.program import BARE_ENVIRONMENT

OURS, FLOWER = "benchmarks.federation.ours", "benchmarks.federation.flower"
TIMEOUT_SECONDS = 400.0
SAMPLE_SECONDS = 0.5
# The same threads and allocator for every arm, and nobody phones home.
ENVIRONMENT = {
    **BARE_ENVIRONMENT,
    "FLWR_TELEMETRY_ENABLED": "0",
    "RAY_USAGE_STATS_ENABLED": "0",
}


@dataclass(frozen=True)
class Bench:
    """Where arms run, which, and by which interpreter.

    Attributes:
        folder: For all that they write; it must be short, as Ray's sockets lie in it.
        arms: In the order in which they take turns.
        flower_python: The interpreter that has Flower.
    """

    folder: Path
    arms: Sequence[str]
    flower_python: Path

    def new_folder(self, name: str) -> Path:
        """Returns a new folder of one run's own."""
        folder = self.folder / name
        folder.mkdir()
        return folder

    def python(self, module: str) -> str:
        """Returns the interpreter that has what a module needs."""
        return str(self.flower_python) if module == FLOWER else sys.executable


def take_turns(
    bench: Bench, work: Path, *, repeats: int, tell: Callable[[str], None]
) -> Iterator[dict[str, Any]]:
    """Yields what every arm took, one after another: once for memory, then `repeats` for time.

    The first turn also fills the disk's cache, for all alike.
    """
    for turn in range(repeats + 1):
        for arm in bench.arms:
            name = f"{arm}-{turn}"
            tell(f"{name}, {'for time' if turn else 'for memory'}")
            run = run_ours if arm == "ours" else run_arm
            for record in run(bench, arm, work, name, sample_memory=turn == 0):
                yield {"timed": turn > 0, **record}


def run_arm(
    bench: Bench, arm: str, work: Path, name: str, *, sample_memory: bool = False
) -> list[dict[str, Any]]:
    """Runs an arm; returns its one record.

    `seconds` are those from the start of its process until its result can be read.

    Args:
        bench: Where.
        arm: Which.
        work: Path of the work's JSON file.
        name: Of this run.
        sample_memory: Whether to look at memory, which itself takes time.
    """
    outcome, usage = run_process(
        bench,
        f"benchmarks.federation.{arm}",
        work,
        bench.new_folder(name),
        sample_memory=sample_memory,
    )
    seconds = round(outcome["readable_at"] - usage.spawned_at, 3)
    return [{"arm": arm, "seconds": seconds, "run": name, **of_usage(usage), **_result(outcome)}]


def run_ours(
    bench: Bench,
    arm: str,
    work: Path,
    name: str,
    *,
    sample_memory: bool = False,
    warm_up: Path | None = None,
) -> list[dict[str, Any]]:
    """Runs our federation with two jobs; returns their records, `cold` and `warm`.

    Cold is counted from the start of the process that provisions; warm from the submission to the
    federation that did the first job.

    Args:
        bench: Where.
        arm: Ours.
        work: Path of the JSON file of the second job's work.
        name: Of this run.
        sample_memory: Whether to look at memory, which itself takes time.
        warm_up: The first job's work; the same, if left out.
    """
    folder = bench.new_folder(name)
    jobs = [Job("cold", str(warm_up or work)), Job("warm", str(work))]
    told = folder / "jobs.json"
    write_jobs(told, folder=folder, executor=STEP, jobs=jobs)
    outcome, usage = run_process(bench, OURS, told, folder, sample_memory=sample_memory)
    cold, warm = outcome["jobs"]
    first = {
        "arm": "cold",
        "seconds": round(cold["readable_at"] - usage.spawned_at, 3),
        "run": name,
        **of_usage(usage),
        "cpu_seconds": cold["cpu_seconds_since_start"],
        **_result(cold),
    }
    kept = ("cpu_seconds", "cpu_seconds_until_readable", "wind_down_seconds", "rounds")
    second = {
        "arm": "warm",
        "seconds": warm["seconds"],
        "run": name,
        **{field: warm[field] for field in kept},
        "load_before": usage.load_before,
        **_result(warm),
    }
    return [first, second]


def run_process(
    bench: Bench,
    module: str,
    told: Path,
    folder: Path,
    *,
    sample_memory: bool = False,
    timeout_seconds: float = TIMEOUT_SECONDS,
) -> tuple[dict[str, Any], Usage]:
    """Runs a module that reads what it is told and writes an outcome, and returns both.

    Raises:
        SystemExit: It failed, or left processes behind.
    """
    temporary = folder / "tmp"
    temporary.mkdir()
    outcome, log = folder / "outcome.json", folder / "log"
    usage = run_measured(
        [bench.python(module), "-m", module, str(told), str(outcome)],
        environment={**ENVIRONMENT, "HOME": str(temporary), "TMPDIR": str(temporary)},
        folder=PROJECT,
        log=log,
        timeout_seconds=timeout_seconds,
        sample_seconds=SAMPLE_SECONDS if sample_memory else None,
    )
    if usage.exit_code != 0 or not outcome.is_file():
        raise SystemExit(f"{module} failed ({usage}):\n{log.read_text(errors='replace')[-3000:]}")
    return json.loads(outcome.read_text()), usage


def of_usage(usage: Usage) -> dict[str, Any]:
    """Returns what a record says of a process and all that it started."""
    return {
        "process_seconds": usage.seconds,
        "cpu_seconds": usage.cpu_seconds,
        "machine_cpu_seconds": usage.machine_cpu_seconds,
        "stolen_cpu_seconds": usage.stolen_cpu_seconds,
        "peak_memory_gb": round(usage.peak.memory_bytes / 1e9, 2) if usage.peak else None,
        "processes": usage.peak.processes if usage.peak else None,
        "left_behind": list(usage.left_behind),
        "load_before": usage.load_before,
    }


def _result(outcome: Mapping[str, Any]) -> dict[str, Any]:
    return {"weights": outcome["weights"], "digest": outcome["digest"]}
