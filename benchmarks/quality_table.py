"""The table of `benchmarks.quality`: what federation reaches beside pooling and training alone."""

from __future__ import annotations

import statistics
from collections.abc import Mapping
from typing import Any

from benchmarks.markdown import markdown_table
from fed_assets.comparison.reference_rows import FEDERATED, OVER_HOSPITALS, over_seeds
from fed_assets.comparison.references import ALONE, METRICS, POOLED

MODELS = (FEDERATED, POOLED, ALONE)
# What is changed of the roster's share: nothing, or it makes all hospitals alike.
SHARES: Mapping[str, Mapping[str, str]] = {"skewed": {}, "iid": {"how": "iid"}}
SHARE_NAMES = {"skewed": "skewed (as shipped)", "iid": "IID"}
NAMES = {
    FEDERATED: "federated, {rounds} rounds",
    POOLED: "all images pooled, {rounds} rounds",
    "alone_mean": "each hospital alone, {rounds} rounds, mean",
    "alone_least": "the worst hospital alone",
    "alone_most": "the best hospital alone",
    "gain_alone_mean": "federated less alone, mean",
    "gain_alone_least": "federated less alone, least",
    "gain_alone_most": "federated less alone, most",
    "gain_pooled": "federated less pooled",
}


def rows(record: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Returns a row per share, model, number of rounds and metric: mean over the seeds, and spread.

    `sd` is the standard deviation of a sample, `low` and `high` the ends of Student's 95 %
    interval of the mean; None of one seed. A gain is the federation's figure less the other's of
    the same seed.
    """
    found = []
    for share in SHARES:
        of_share = record["figures"].get(share, {})
        counts = sorted({count for model in of_share.values() for count in model}, key=int)
        for count in counts:
            for metric in METRICS:
                named = _by_seed(of_share, count, metric)
                found += [
                    {"share": share, "model": model, "rounds": int(count), "metric": metric}
                    | _spread(model, by_seed)
                    for model, by_seed in named.items()
                    if by_seed
                ]
    return found


def headline(record: Mapping[str, Any]) -> dict[str, float]:
    """Returns mean and standard deviation of the federation as it ships, where it was measured."""
    told = {}
    for row in rows(record):
        shipped = (row["share"], row["model"]) == (next(iter(SHARES)), FEDERATED)
        if shipped and row["rounds"] == record["rounds"]:
            told[f"{row['metric']}_mean"] = row["value"]
            told[f"{row['metric']}_sd"] = row["sd"]
    return told


def table(record: Mapping[str, Any]) -> str:
    """Returns the rows as Markdown; what was not measured is left blank."""
    cells = {
        (row["rounds"], row["model"], row["share"], row["metric"]): _written(row)
        for row in rows(record)
    }
    counts = sorted(
        {rounds for rounds, *_ in cells}, key=lambda each: (each != record["rounds"], each)
    )
    called = {"auroc": "AUROC", "accuracy": "accuracy"}
    heads = ["", *(f"{SHARE_NAMES[share]}: {called[m]}" for share in SHARES for m in METRICS)]
    lines = []
    for rounds in counts:
        for model, name in NAMES.items():
            across = [cells.get((rounds, model, share, m), "") for share in SHARES for m in METRICS]
            if any(across):
                lines.append([name.format(rounds=rounds), *across])
    return markdown_table(heads, lines)


def _by_seed(of_share: Mapping[str, Any], count: str, metric: str) -> dict[str, dict[int, float]]:
    """Returns each model's figure by seed, and what the federation gains over the others."""

    def figures(model: str) -> dict[int, Any]:
        known = of_share.get(model, {}).get(count, {})
        return {int(seed): each["figures"] for seed, each in known.items()}

    federated = {seed: each[metric] for seed, each in figures(FEDERATED).items()}
    pooled = {seed: each[metric] for seed, each in figures(POOLED).items()}
    alone = {seed: [each[metric] for each in of.values()] for seed, of in figures(ALONE).items()}
    both = {seed: federated[seed] for seed in alone if seed in federated}
    return {
        FEDERATED: federated,
        POOLED: pooled,
        **{
            f"alone_{name}": {seed: of(values) for seed, values in alone.items()}
            for name, of in OVER_HOSPITALS.items()
        },
        **{
            f"gain_alone_{name}": {
                seed: of([reached - value for value in alone[seed]])
                for seed, reached in both.items()
            }
            for name, of in OVER_HOSPITALS.items()
        },
        "gain_pooled": {
            seed: federated[seed] - value for seed, value in pooled.items() if seed in federated
        },
    }


def _spread(model: str, by_seed: Mapping[int, float]) -> dict[str, Any]:
    row = over_seeds(by_seed, least=-1 if model.startswith("gain") else 0)
    sd = statistics.stdev(row["values"]) if row["runs"] > 1 else None
    return {**row, "sd": sd}


def _written(row: Mapping[str, Any]) -> str:
    if row["model"].startswith("gain"):
        within = "" if row["low"] is None else f" ({row['low']:+z.3f} to {row['high']:+z.3f})"
        return f"{row['value']:+z.3f}{within}"
    return f"{row['value']:.3f}" + ("" if row["sd"] is None else f" ± {row['sd']:.3f}")
