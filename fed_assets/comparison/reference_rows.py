"""What the references reach and each sandbox gains over them, with intervals over the seeds.

All on the common test set. A gain is a run's figure less that of the references of its own seed, so
that its interval over the seeds is one of pairs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from fed_assets.comparison.cells import NO_WIDTH, SEEDS, half_width, has_width
from fed_assets.comparison.measurements import Record
from fed_assets.comparison.readings import reading
from fed_assets.comparison.references import ALONE, METRICS, POOLED

Row = dict[str, Any]
BySeed = Mapping[int, float]
FEDERATED = "federated"
# What stands for all hospitals that trained alone.
OVER_HOSPITALS: Mapping[str, Callable[[Sequence[float]], float]] = {
    "mean": lambda values: float(np.mean(values)),
    "least": min,
    "most": max,
}


def reference_part(runs: Mapping[str, Sequence[Record]]) -> dict[str, list[Any]]:
    """Returns what a comparison says of references.

    Args:
        runs: the measurements by sandbox; of one that was not measured, none.

    Returns:
        `models`: a row per `model` ("pooled", "alone_mean", "alone_least" and "alone_most" over the
        hospitals, "federated" of each `sandbox`) and `metric`. `gains`: a row per `sandbox`,
        `against` ("alone" or "pooled"), `hospital` (None: the mean over those that trained alone,
        or the pooled model of all) and `metric`. Both with `value`, `low`, `high`, `runs`, `values`
        and `seeds`; the interval is Student's t of the mean, and None of one seed. `not_compared`:
        `sandbox`, `seed` and `why_not` of runs without references of their kind. `private`:
        sandboxes whose network differential privacy makes another.
    """
    every = [run for of in runs.values() for run in of]
    gains = [row for sandbox, of in runs.items() for row in _gains(sandbox, of)]
    return {
        "models": _models(runs, every) if gains else [],
        "gains": gains,
        "not_compared": [
            {"sandbox": run["sandbox"], "seed": run["seed"], "why_not": why_not}
            for run in every
            if (why_not := (run.get("references") or {"why_not": "none"}).get("why_not"))
        ],
        "private": [
            sandbox
            for sandbox, of in runs.items()
            if any((run.get("references") or {}).get("private") for run in of)
        ],
    }


def over_seeds(found: BySeed, *, least: float) -> Row:
    """Returns mean and interval over the seeds, in their order, and what it comes from.

    Where all seeds agree there is none: it would have no width, and tell nothing of the doubt.

    Args:
        found: a value by seed.
        least: the least that a value can be; the most is 1.
    """
    seeds = sorted(found)
    values = np.array([found[seed] for seed in seeds])
    row: Row = {"value": float(values.mean()) if seeds else None, "low": None, "high": None}
    row["interval_from"] = None
    if len(seeds) > 1:
        half = half_width(values)
        low, high = max(least, row["value"] - half), min(1.0, row["value"] + half)
        if has_width(low, high):
            row |= {"low": low, "high": high, "interval_from": SEEDS}
        else:
            row["interval_from"] = NO_WIDTH
    return {**row, "runs": len(seeds), "values": values.tolist(), "seeds": seeds}


def _models(runs: Mapping[str, Sequence[Record]], every: Iterable[Record]) -> list[Row]:
    # Runs of one seed have the same references: those that are stored.
    known = {run["seed"]: run for run in every if _references(run)}
    rows = []
    for metric in METRICS:
        alone = {seed: _alone(run, metric) for seed, run in known.items()}
        pooled = {seed: _reached(_references(run)[POOLED], metric) for seed, run in known.items()}
        found = {POOLED: pooled} | {
            f"{ALONE}_{name}": {seed: choose(list(of.values())) for seed, of in alone.items() if of}
            for name, choose in OVER_HOSPITALS.items()
        }
        rows += [_model(name, None, metric, by_seed) for name, by_seed in found.items()]
        for sandbox, of in runs.items():
            by_seed = {run["seed"]: _reached(run.get("quality"), metric) for run in of}
            rows.append(_model(FEDERATED, sandbox, metric, by_seed))
    return rows


def _model(name: str, sandbox: str | None, metric: str, found: Mapping[int, float | None]) -> Row:
    return {
        "model": name,
        "sandbox": sandbox,
        "metric": metric,
        **over_seeds(_known(found), least=0),
    }


def _gains(sandbox: str, runs: Sequence[Record]) -> list[Row]:
    known = {run["seed"]: run for run in runs if _references(run)}
    if not known:
        return []
    rows = []
    for metric in METRICS:
        reached = {seed: _reached(run.get("quality"), metric) for seed, run in known.items()}
        of_hospitals: dict[str, dict[int, float]] = {}
        for seed, run in known.items():
            for name, value in _alone(run, metric).items():
                if (by_all := reached[seed]) is not None:
                    of_hospitals.setdefault(name, {})[seed] = by_all - value
        mean = {
            seed: float(np.mean(each))
            for seed in known
            if (each := [of[seed] for of in of_hospitals.values() if seed in of])
        }
        over_pooled = {
            seed: _less(reached[seed], _reached(_references(run)[POOLED], metric))
            for seed, run in known.items()
        }
        found: list[tuple[str, str | None, BySeed]] = [
            (ALONE, None, mean),
            (POOLED, None, _known(over_pooled)),
        ]
        found += [(ALONE, name, of) for name, of in sorted(of_hospitals.items())]
        rows += [
            {"sandbox": sandbox, "against": against, "hospital": name, "metric": metric}
            | over_seeds(by_seed, least=-1)
            for against, name, by_seed in found
        ]
    return rows


def _references(run: Record) -> Mapping[str, Any]:
    """Returns the references of a run's kind; nothing where there are none."""
    found = run.get("references") or {}
    return found if POOLED in found else {}


def _alone(run: Record, metric: str) -> dict[str, float]:
    """Returns what each hospital reaches alone, of those that can be told."""
    models = _references(run)[ALONE]
    return _known({name: _reached(model, metric) for name, model in models.items()})


def _reached(model: Mapping[str, Any] | None, metric: str) -> float | None:
    read = reading((model or {}).get(metric), where=f"{metric} of a reference or a federation")
    return read.value if read else None


def _less(one: float | None, other: float | None) -> float | None:
    return None if one is None or other is None else one - other


def _known(found: Mapping[Any, float | None]) -> dict[Any, float]:
    return {key: value for key, value in found.items() if value is not None}
