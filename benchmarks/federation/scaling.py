"""What a round costs by number of hospitals and size of the model, where nobody learns."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import psutil

from benchmarks.federation.arms import OURS, Bench, of_usage, run_process
from benchmarks.federation.goals import exponent, period
from benchmarks.federation.ours import IDLE, STEP, Job, write_jobs
from benchmarks.federation.preparation import first_weights
from benchmarks.federation.step import SMALL_CNN
from benchmarks.federation.work import Work

SAMPLE_SECONDS = 0.3
TIMEOUT_SECONDS = 900.0
_RESNET = {
    "_target_": "monai.networks.nets.ResNet",
    "block": "basic",
    "spatial_dims": 2,
    "n_input_channels": "@channels",
    "num_classes": "@classes",
}
# The largest is ResNet-18.
NETWORKS: tuple[Mapping[str, Any], ...] = (
    SMALL_CNN,
    {**_RESNET, "layers": [1, 1, 1, 1], "block_inplanes": [32, 64, 128, 216]},
    {**_RESNET, "layers": [2, 2, 2, 2], "block_inplanes": [64, 128, 256, 512]},
)


@dataclass(frozen=True)
class Sizes:
    """What is tried.

    Attributes:
        hospitals: Numbers of them.
        networks: Configs, the smallest first.
        rounds: Of each job, in the last of which memory is looked at and nothing timed.
        long_rounds: The same, for ten hospitals with the smallest network.
    """

    hospitals: Sequence[int] = (5, 10, 20, 40)
    networks: Sequence[Mapping[str, Any]] = NETWORKS
    rounds: int = 4
    long_rounds: int = 22


def scale(
    bench: Bench, work: Work, sizes: Sizes, tell: Callable[[str], None]
) -> list[dict[str, Any]]:
    """Returns a row for each number of hospitals and each model.

    A cell whose memory would not fit, judged by half as many hospitals, says so and holds no more.
    """
    models = [_model(bench, work, network) for network in sizes.networks]
    rows: list[dict[str, Any]] = []
    for hospitals in sizes.hospitals:
        tell(f"scaling: {hospitals} hospitals")
        rows += _of_hospitals(bench, models, hospitals, sizes, rows)
    return rows


def train_largest(bench: Bench, work: Work, network: Mapping[str, Any]) -> dict[str, Any]:
    """Returns what one round takes in which every hospital does train a large network."""
    folder = bench.new_folder("largest")
    parameters, model = _model(bench, work, network)
    replace(model, rounds=1).write(folder / "work.json")
    jobs = [Job("training", str(folder / "work.json"))]
    write_jobs(folder / "jobs.json", folder=folder, executor=STEP, jobs=jobs)
    outcome, usage = run_process(bench, OURS, folder / "jobs.json", folder, sample_memory=True)
    (trained,) = outcome["jobs"]
    return {
        "hospitals": len(work.stores),
        "parameters": parameters,
        "seconds": trained["rounds"][0]["seconds"],
        **of_usage(usage),
    }


def growth(rows: Sequence[Mapping[str, Any]], field: str) -> dict[str, float]:
    """Returns, for each model, the exponent with which a field grows over the hospitals."""
    found = {}
    for parameters in sorted({row["parameters"] for row in rows}):
        known = [row for row in rows if row["parameters"] == parameters and row.get(field)]
        if len(known) > 1:
            hospitals = [row["hospitals"] for row in known]
            found[str(parameters)] = exponent(hospitals, [row[field] for row in known])
    return found


def _of_hospitals(
    bench: Bench,
    models: Sequence[tuple[int, Work]],
    hospitals: int,
    sizes: Sizes,
    rows: Sequence[Mapping[str, Any]],
) -> list[dict[str, Any]]:
    folder = bench.new_folder(f"scaling-{hospitals}")
    names = [f"hospital_{number:02d}" for number in range(1, hospitals + 1)]
    stores = {name: str(folder / "stores" / name) for name in names}
    for store in stores.values():
        Path(store).mkdir(parents=True)
    jobs: list[Job] = []
    done, skipped = [], []
    for parameters, model in models:
        cell = {"hospitals": hospitals, "parameters": parameters}
        if (expected := _expected_gb(rows, cell)) > 0.8 * psutil.virtual_memory().available / 1e9:
            skipped.append({**cell, "skipped": f"would take about {expected:.0f} GB of memory"})
            continue
        long = hospitals == 10 and not jobs
        rounds = sizes.long_rounds if long else sizes.rounds
        file = folder / f"{parameters}.json"
        replace(model, stores=stores, rounds=rounds).write(file)
        jobs.append(Job(f"model-{parameters}", str(file), SAMPLE_SECONDS))
        done.append(cell)
    write_jobs(folder / "jobs.json", folder=folder, executor=IDLE, jobs=jobs)
    outcome, usage = run_process(
        bench, OURS, folder / "jobs.json", folder, timeout_seconds=TIMEOUT_SECONDS
    )
    measured = zip(done, outcome["jobs"], strict=True)
    load = {"load_before": usage.load_before}
    return [{**cell, **_cell(job), **load} for cell, job in measured] + skipped


def _cell(job: Mapping[str, Any]) -> dict[str, Any]:
    rounds = job["rounds"]
    sent_bytes = rounds[-1]["bytes_up"] + rounds[-1]["bytes_down"]
    return {
        "seconds_per_round": period(rounds[:-1]),
        "rounds_timed": len(rounds) - 2,
        "megabytes_per_round": round(sent_bytes / 1e6, 2),
        "peak_memory_gb": round(job["peak_memory_bytes"] / 1e9, 2),
        "processes": job["processes"],
    }


def _expected_gb(rows: Sequence[Mapping[str, Any]], cell: Mapping[str, Any]) -> float:
    """Returns a guess at a cell's memory from that of fewer hospitals; 0 where nothing is known."""
    known = [
        row["peak_memory_gb"] / row["hospitals"]
        for row in rows
        if row["parameters"] == cell["parameters"] and "peak_memory_gb" in row
    ]
    return known[-1] * cell["hospitals"] if known else 0.0


def _model(bench: Bench, work: Work, network: Mapping[str, Any]) -> tuple[int, Work]:
    """Returns the number of a network's parameters, and the work with its first weights."""
    folder = bench.folder / "models"
    folder.mkdir(exist_ok=True)
    weights = folder / f"{len(list(folder.iterdir()))}.safetensors"
    model = replace(work, network=network, initial_weights=str(weights))
    return first_weights(model), model
