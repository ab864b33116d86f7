"""What a whole run measured of its sandbox, kept for the comparison of the sandboxes.

A figure that was not measured is null, and never zero. The record is described in
`comparison/measurements.py`; what an audit showed and what the references gained come in when the
sandboxes are compared.
"""

from __future__ import annotations

import json
import math
import os
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from dagster import AssetExecutionContext

from fed_assets.errors import StorageError, system_reason
from fed_assets.federation.cost import family_cpu_seconds
from fed_assets.reporting.rounds import total
from fed_assets.resources.artifact_store import read_whole, write_whole
from fed_assets.resources.home import Home
from fed_assets.sandboxes.presets import SANDBOX_NAMES

LIFECYCLE = "federated_lifecycle"
# As the comparison calls what the report calls otherwise.
CALLED = {"expected_calibration_error": "calibration_error"}
METRICS = ("auroc", "accuracy", "f1", "expected_calibration_error")


def kept_measurements(home: Home) -> Iterator[dict[str, Any]]:
    """Yields what the last whole run of each sandbox with each seed measured.

    Raises:
        StorageError: a record is damaged.
    """
    for sandbox in SANDBOX_NAMES:
        for path in sorted((home.measurements / sandbox).glob("seed_*.json")):
            record = read_whole(path, what="What was measured", cure="Remove it and measure again.")
            if record is not None:
                yield record


def keep_measurement(
    context: AssetExecutionContext,
    home: Home,
    report: Mapping[str, Any],
    global_model: Mapping[str, Any],
) -> None:
    """Keeps what a run measured; of one that did not do all of a lifecycle, nothing.

    Its last weights are kept too, which other runs of the sandbox would push out.

    Raises:
        StorageError: it cannot be written, or the weights cannot be read.
    """
    run = context.run
    whole = run.job_name == LIFECYCLE and run.parent_run_id is None and not run.asset_selection
    if not whole or report["resumed_from"]:
        return
    begun = context.instance.get_run_record_by_id(run.run_id)
    record = measurement(
        report,
        global_model,
        run_id=run.run_id,
        wall_seconds=time.time() - begun.start_time if begun and begun.start_time else None,
        cpu_seconds=family_cpu_seconds(),
    )
    path = home.measurement(report["sandbox"], report["seed"])
    # Weights that are newer than the record are known by their digest for what they are.
    write_whole(
        home.measured_weights(report["sandbox"], report["seed"]),
        _content(Path(global_model["final_weights"])),
    )
    write_whole(path, json.dumps(record, indent=1, allow_nan=False).encode())


def _content(weights: Path) -> bytes:
    try:
        return weights.read_bytes()
    except OSError as error:
        raise StorageError(
            "The global model's weights cannot be read",
            where=str(weights),
            seen=system_reason(error),
            cure="Materialize global_model again.",
        ) from None


def measurement(
    report: Mapping[str, Any],
    global_model: Mapping[str, Any],
    *,
    run_id: str,
    wall_seconds: float | None,
    cpu_seconds: float | None,
) -> dict[str, Any]:
    """Returns the measurement record of a run.

    Args:
        report: its report.
        global_model: the model that it came to.
        run_id: its id.
        wall_seconds: how long it took so far; the report is its last part.
        cpu_seconds: processor time of all its processes.
    """
    sent, rounds = report["sent"], report["round_records"]
    budgets = {name: each["epsilon"] for name, each in sent.items()}
    return {
        **{name: report[name] for name in ("sandbox", "seed", "rounds", "created")},
        "run_id": run_id,
        "data": report["data"],
        "machine": report["machine"],
        "versions": report["versions"],
        "degraded": report["degraded"],
        # Under differential privacy another network learns than otherwise.
        "model": {
            "weights": global_model["final_digest"],
            "network": global_model["network"],
            "learned_from": {name: each["dataset_digest"] for name, each in sent.items()},
        },
        "controls": {
            name: {"declared": value, "enforced": "yes"}  # else the run would have been refused
            for name, value in report["controls"].items()
        },
        "efficiency": {
            "wall_seconds": _rounded(wall_seconds),
            "cpu_seconds": _rounded(cpu_seconds),
            "bytes_up": total(each["bytes_up"] for each in sent.values()),
            "bytes_down": total(each["bytes_down"] for each in sent.values()),
            "startup_seconds": _startup_seconds(report["seconds"], rounds),
            "round_overhead_seconds": overhead_seconds(rounds, processors=os.cpu_count() or 1),
        },
        # A hospital's own ledger counts all that it ever let out; the worst stands for all.
        "security": {
            "epsilon": None if None in budgets.values() else max(budgets.values()),
            "delta": _most(each["delta"] for each in sent.values()),
        },
        "quality": {
            **_metrics(report["test"], METRICS),
            "worst_sensitivity": _interval(_worst(report, "sensitivity")),
        },
        "hospitals": {
            name: {
                **_metrics(report["hospitals"].get(name, {}), (*METRICS, "sensitivity")),
                "train_seconds": _rounded(each["seconds"]),
                "bytes_up": each["bytes_up"],
                "bytes_down": each["bytes_down"],
                "epsilon": each["epsilon"],
                "images": each["examples"],
            }
            for name, each in sent.items()
        },
    }


def overhead_seconds(rounds: Sequence[Mapping[str, Any]], *, processors: int) -> float | None:
    """Returns what a round takes on average beyond the hospitals' own work in it.

    That is the round's seconds less those of its hospitals, as many of which work side by side as
    there are processors. What waits for one counts as work, so it may come out below zero where
    hospitals are not kept from crowding each other.
    """
    beyond = [
        record["seconds"]
        - math.fsum(each["seconds"] for each in record["participants"].values())
        / min(processors, len(record["participants"]))
        for record in rounds
        if record["participants"]
    ]
    return round(math.fsum(beyond) / len(beyond), 3) if beyond else None


def _startup_seconds(seconds: float, rounds: Iterable[Mapping[str, Any]]) -> float:
    """Returns what a federation took beside its rounds: keys, processes, connections, the job."""
    return round(seconds - math.fsum(each["seconds"] for each in rounds), 3)


def _worst(report: Mapping[str, Any], metric: str) -> Mapping[str, Any]:
    name = report["worst"][metric]
    return report["hospitals"][name][metric] if name else {}


def _metrics(entry: Mapping[str, Any], names: Iterable[str]) -> dict[str, Any]:
    return {CALLED.get(name, name): _interval(entry.get(name, {})) for name in names}


def _interval(metric: Mapping[str, Any]) -> dict[str, Any] | None:
    """Returns a metric as an interval; None where it is withheld or not defined."""
    if metric.get("value") is None:
        return None
    return {bound: metric.get(bound) for bound in ("value", "low", "high")}


def _most(values: Iterable[float | None]) -> float | None:
    return max((value for value in values if value is not None), default=None)


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 3)
