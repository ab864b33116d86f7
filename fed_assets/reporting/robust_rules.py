"""What hostile hospitals did to the rules of aggregation, as `python -m benchmarks.robust` found.

Its record is a part of the package, so that a report can say of its run's rule what was measured of
it. That was another federation, on the official PneumoniaMNIST: no run measures it of itself.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

RECORD = Path(__file__).with_name("robust_rules.json")
# What hostile hospitals do, nobody being the first.
ATTACKS = {
    "none": "nobody hostile",
    "negated": "updates 20 times as large, in the other direction",
    "flipped": "false labels, and 20 times the images claimed",
}
MEAN = "fedavg"
NAMES = {
    MEAN: "the plain mean",
    "weighted_median": "the weighted median",
    "trimmed_mean": "the trimmed mean",
    "multi_krum": "multi-Krum",
    "fedprox": "FedProx",
    "fedopt": "FedOpt",
}
WITHSTANDING = ("weighted_median", "trimmed_mean", "multi_krum")
HIDDEN = {"secure_aggregation", "homomorphic_encryption"}  # of these the server learns the sum


def read_rules(path: Path = RECORD) -> dict[str, Any] | None:
    """Returns the record, or nothing where this version was built without one."""
    try:
        record: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    return record


def figures_of(record: Mapping[str, Any], rule: str) -> dict[str, Any]:
    """Returns what was measured of a rule, with null for what was not.

    Returns:
        By attack `accuracy` and `auroc`; how much `accuracy_lost` at most, and whether it `held`,
        which is that it lost no more than the record's `within`.
    """
    entry = record["rules"].get(rule, {})
    return {name: entry.get(name) for name in (*ATTACKS, "accuracy_lost", "held")}


def measured_of(
    controls: Mapping[str, str], record: Mapping[str, Any] | None
) -> dict[str, Any] | None:
    """Returns what a report says of its run's rule: one sentence, and figures by rule.

    Args:
        controls: The sandbox's, with the rule as the roster refines it.
        record: What was measured; without it nothing is said.

    Returns:
        What is `said`, and `rules`: the plain mean, and the run's. None of the plain mean of
        updates that the server sees, which promises nothing.
    """
    rule = controls.get("aggregation", MEAN)
    hidden = controls.get("update_protection") in HIDDEN
    if record is None or (rule == MEAN and not hidden):
        return None
    return {
        "said": _sentence(rule, record, hidden=hidden),
        "rules": {name: figures_of(record, name) for name in dict.fromkeys((MEAN, rule))},
    }


def _sentence(rule: str, record: Mapping[str, Any], *, hidden: bool) -> str:
    name, figures = NAMES.get(rule, rule), figures_of(record, rule)
    mean_lost = _lost(MEAN, record)
    if rule in WITHSTANDING:
        if figures["held"] is None:
            return f"Updates met by {name}; what hostile hospitals do to it was not measured."
        outcome = "held" if figures["held"] else "did not hold"
        return (
            f"Updates met by {name}: {_lost(rule, record)}, and {outcome} ({record['within']:g} "
            f"is the most). {mean_lost[0].upper()}{mean_lost[1:]}."
        )
    if hidden:
        said = (
            "Updates are hidden from the server, so they met by a mean, which withstands nobody "
            f"hostile, and no hostile one is found out: {mean_lost}."
        )
    else:
        said = f"Updates met by {name}, a mean, which withstands nobody hostile: {mean_lost}."
    alone = figures["none"]
    if rule == MEAN or alone is None:
        return said
    return (
        f"{said} With the shipped recipe and nobody hostile, {name} reached an accuracy of "
        f"{alone['accuracy']:.3f} and an AUROC of {alone['auroc']:.3f}."
    )


def _lost(rule: str, record: Mapping[str, Any]) -> str:
    """Returns what a rule lost to hostile hospitals, as a clause."""
    lost = figures_of(record, rule)["accuracy_lost"]
    if lost is None:
        return f"what hostile hospitals do to {NAMES.get(rule, rule)} was not measured"
    hostile = len(record["hostile"])
    return f"with {hostile} hospitals hostile {NAMES.get(rule, rule)} lost {lost:.3f} of accuracy"
