"""What a whole run measured of its sandbox, kept for the comparison of the sandboxes.

A figure that was not measured is null, and never zero. The record is described in
`comparison/measurements.py`; what an audit showed, what the references gained and what prices make
of it come in when the sandboxes are compared.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from fed_assets.comparison.worst_hospital import WORST
from fed_assets.federation.cost import family_cpu_seconds
from fed_assets.reporting.rounds import total
from fed_assets.resources.process_table import TASK
from fed_assets.sandboxes.controls import Process

# As the comparison calls what the report calls otherwise.
CALLED = {"expected_calibration_error": "calibration_error"}
METRICS = ("auroc", "accuracy", "f1", "expected_calibration_error")
USED = ("cpu_seconds", "peak_memory_bytes", "energy_joules")
# Why a figure is not known: nobody measured the run, its federation was up before and after, or a
# hospital told none of its own.
NOT_WATCHED, UP_BEFORE, WITHHELD = "not_watched", "federation_was_up", "withheld"


def usage_of(measured: Mapping[str, Any] | None, *, own_federation: bool) -> dict[str, Any]:
    """Returns what a run used, with null and a word why for what is not known.

    Args:
        measured: of `RunMeter.told`; None where nothing measured, and then processor time alone is
            known, which Linux adds up by itself.
        own_federation: whether the run's federation was its own, whose processes were measured.
    """
    if measured is None:
        unknown = dict.fromkeys(USED[1:], NOT_WATCHED)
        found: dict[str, Any] = {"cpu_seconds": family_cpu_seconds(), "not_measured": unknown}
    else:
        found = dict(measured)
    if not own_federation:
        unknown = dict.fromkeys(USED[:2], UP_BEFORE)
        found |= dict.fromkeys((*USED[:2], "sites"))
        found["not_measured"] = found["not_measured"] | unknown
    return found


def measurement(
    report: Mapping[str, Any],
    global_model: Mapping[str, Any],
    *,
    run_id: str,
    wall_seconds: float | None,
    usage: Mapping[str, Any],
    effort: Mapping[str, Any],
    asked_data: str | None = None,
    resampled: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Returns the measurement record of a run.

    Args:
        report: its report.
        global_model: the model that it came to.
        run_id: its id.
        wall_seconds: how long it took so far; the report is its last part.
        usage: of `usage_of`.
        effort: see `effort.effort_of`.
        asked_data: which images it was asked to learn from, of `asked_data.asked_data`.
        resampled: what each resample of the common test set came to, of the task `evaluate`; None
            where there is no such set.
    """
    sent, rounds = report["sent"], report["round_records"]
    budgets = {name: each["epsilon"] for name, each in sent.items()}
    shared = report["controls"].get("process") == Process.SHARED
    return {
        **{name: report[name] for name in ("sandbox", "seed", "rounds", "created")},
        "run_id": run_id,
        "data": report["data"],
        "machine": report["machine"],
        "versions": report["versions"],
        "degraded": report["degraded"],
        "reference_learning": report["reference_learning"],
        "trained_with": {
            "recipe": global_model.get("recipe"),
            "numbers": report.get("numbers"),
            "data": asked_data,
        },
        # Under differential privacy another network learns than otherwise.
        "model": {
            "weights": global_model["final_digest"],
            "network": global_model["network"],
            "threshold": report["threshold"]["value"],
            "learned_from": {name: each["dataset_digest"] for name, each in sent.items()},
        },
        "controls": {
            name: {"declared": value, "enforced": True}  # else the run would have been refused
            for name, value in report["controls"].items()
        },
        "efficiency": {
            "wall_seconds": _rounded(wall_seconds),
            **{name: _rounded(usage.get(name)) for name in USED},
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
            WORST: interval_of(_worst(report, "sensitivity")),
        },
        "resampled": None
        if resampled is None
        else {
            "of": resampled["of"],
            "values": {CALLED.get(name, name): of for name, of in resampled["values"].items()},
        },
        "effort": effort,
        "hospitals": {
            name: {
                **_metrics(report["hospitals"].get(name, {}), (*METRICS, "sensitivity")),
                **used_by(name, usage, shared=shared),
                "train_seconds": _rounded(each["seconds"]),
                "bytes_up": each["bytes_up"],
                "bytes_down": each["bytes_down"],
                "epsilon": each["epsilon"],
                "images": each["examples"],
                "digest": each["dataset_digest"],
            }
            for name, each in sent.items()
        },
        "processes": usage.get("processes", []),
        "meter": usage.get("meter"),
        "not_measured": usage["not_measured"]
        | ({WORST: WITHHELD} if _withheld(report, "sensitivity") else {}),
    }


def used_by(hospital: str, usage: Mapping[str, Any], *, shared: bool) -> dict[str, Any]:
    """Returns a hospital's `cpu_seconds`, and `peak_memory_bytes` of its largest process.

    Each is null where it is not known.

    Args:
        hospital: its id.
        usage: of `usage_of`.
        shared: whether its tasks ran in processes that could act for all hospitals: these say what
            each task took, where of a site's own processes Linux knows all.
    """
    rows = [row for row in usage.get("processes", []) if row["site"] == hospital]
    seconds = (usage.get("sites") or {}).get(hospital)
    if seconds is None:
        return {"cpu_seconds": None, "peak_memory_bytes": None}
    if shared:
        seconds += math.fsum(row["cpu_seconds"] for row in rows if row["program"] == TASK)
    return {
        "cpu_seconds": _rounded(seconds),
        "peak_memory_bytes": _most(row["peak_memory_bytes"] for row in rows),
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
    """Returns the worst hospital's figure; none where one withholds its own, which may be worse."""
    if _withheld(report, metric):
        return {}
    name = report["worst"][metric]
    return report["hospitals"][name][metric] if name else {}


def _withheld(report: Mapping[str, Any], metric: str) -> bool:
    return any(entry[metric].get("suppressed") for entry in report["hospitals"].values())


def _metrics(entry: Mapping[str, Any], names: Iterable[str]) -> dict[str, Any]:
    return {CALLED.get(name, name): interval_of(entry.get(name, {})) for name in names}


def interval_of(figure: Mapping[str, Any]) -> dict[str, Any] | None:
    """Returns a figure's value and bounds; None where it is withheld or not defined."""
    if figure.get("value") is None:
        return None
    return {bound: figure.get(bound) for bound in ("value", "low", "high")}


def _most(values: Iterable[float | None]) -> float | None:
    return max((value for value in values if value is not None), default=None)


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 3)
