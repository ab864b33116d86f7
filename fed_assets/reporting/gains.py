"""What a report says of reference models: what each hospital gains over them, and what is lost."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fed_assets.comparison.references import ALONE, METRICS, POOLED
from fed_assets.reporting.formats import METRIC_NAMES, difference

# What stands across, for each hospital: images, against what, and the metric.
COLUMNS = tuple(
    (images, against, metric)
    for images, against in (("test", ALONE), ("own", ALONE), ("own", POOLED))
    for metric in METRICS
)
PLACES = {"test": "common test set", "own": "own test images"}
WHY_NOT = {
    "none": "No reference models are stored.",
    "seed": "The stored reference models were not trained with the seed {seed}.",
    "rounds": "The stored reference models were not trained for {rounds} rounds.",
    "network": "The stored reference models are of another network.",
    "recipe": "The stored reference models were trained with another recipe.",
    "threshold": "The stored reference models were tested with another threshold.",
    "images": "The stored reference models are of other images.",
}
CURE = " `fed-assets compare` trains those that the roster asks for."
OTHERS = (
    "For the seed and rounds of this run: `dagster job execute -m fed_assets -j references "
    "-c references.yaml`, with `ops: {{reference_models: {{config: {{seeds: [{seed}], "
    "rounds: {rounds}}}}}}}` in that file; the rest is the roster's. Then run "
    "this sandbox again, or materialize its `evaluation_report` alone."
)


def gain_lines(report: Mapping[str, Any]) -> list[str]:
    """Returns what the federation gains over its references and what it loses, in sentences.

    On the common test set; where there are no references of its kind, the reason, and how to make
    them.
    """
    compared = report["references"]
    told = {"seed": report["seed"], "rounds": report["rounds"]}
    if compared["why_not"] is not None:
        return [WHY_NOT[compared["why_not"]].format(**told) + CURE, OTHERS.format(**told)]
    lines = []
    over_alone = [
        f"{difference(gain['mean'])} {_called(metric)} in the mean of {gain['hospitals']} "
        f"({difference(gain['least'])} to {difference(gain['most'])})"
        for metric, gain in compared["gain"].items()
        if gain is not None
    ]
    if over_alone:
        lines.append(f"Over a hospital's training alone: {'; '.join(over_alone)}.")
    over_pooled = [
        f"{difference(row['value'])} {_called(row['metric'])}{_within(row)}"
        for row in compared["rows"]
        if row["hospital"] is None and row["value"] is not None
    ]
    if over_pooled:
        lines.append(f"Over one model of all images pooled: {'; '.join(over_pooled)}.")
    if compared["private"]:
        lines.append(
            "Under differential privacy the federation has a network and a recipe of its own; the "
            "references have the roster's, and no privacy."
        )
    pooled, took_part = set(compared["pooled_from"]), set(report["participants"])
    if pooled != took_part:
        lines.append(
            f"Pooled are the open images of {len(pooled)} hospitals; {len(took_part)} took part in "
            f"the federation, {len(pooled & took_part)} of them the same."
        )
    return lines or ["Neither the federation nor its references reach a figure to compare."]


def gains_of_hospitals(
    report: Mapping[str, Any],
) -> dict[str, dict[tuple[str, str, str], Mapping[str, Any]]]:
    """Returns the rows of each hospital by what stands in `COLUMNS`; those alone that are known."""
    found: dict[str, dict[tuple[str, str, str], Mapping[str, Any]]] = {}
    for row in report["references"].get("rows", []):
        if row["hospital"] is not None:
            key = (row["images"], row["against"], row["metric"])
            found.setdefault(row["hospital"], {})[key] = row
    return found


def _called(metric: str) -> str:
    name = METRIC_NAMES[metric]
    return name if name.isupper() else name.lower()


def _within(row: Mapping[str, Any]) -> str:
    if row["low"] is None:
        return ""
    return f" (95 % interval {difference(row['low'])} to {difference(row['high'])})"
