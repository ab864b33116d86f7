"""The least that a model has to be worth to serve at all, whatever else serves or does not.

An AUROC of 0.5 is that of a coin. On the common test set the whole interval has to lie above it:
that set is large, and to show that a model tells the classes apart asks for no more than that. A
hospital's own images are too few for such an interval, so there the point decides: none may be
served what ranks its patients worse than chance would.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fed_assets.registry.comparison import SHOWN, Difference, mean_difference
from fed_assets.registry.gate import BETTER_THAN_CHANCE, ROUNDING, Gate
from fed_assets.registry.version import ModelVersion

CHANCE = 0.5
METRIC = "auroc"
CONFIDENCE = 0.95  # of the intervals that every report has


def better_than_chance(version: ModelVersion) -> Gate:
    """Judges the version alone, with and without a champion; no person can open this gate.

    Without a common test set, the mean over the hospitals that tell has to lie above chance.
    """
    tested = version.evaluation["hospitals"]
    told = {name: each for name in tested if (each := _figure(tested[name])) is not None}
    found, where = _figure(version.evaluation["test"]), "on the common test set"
    if version.common_test_digest is None:
        found = mean_difference(told, confidence=CONFIDENCE)
        where = f"in the mean of {len(told)} hospitals (there is no common test set)"
    below = [name for name in told if told[name].value < CHANCE - ROUNDING]
    faults = [f"at {name} it is {told[name].value:.4f}, lower than {CHANCE:g}" for name in below]
    metric = SHOWN[METRIC]
    if found is None:
        faults = [f"no {metric} was told {where}", *faults]
        return Gate(BETTER_THAN_CHANCE, False, None, CHANCE, "; ".join(faults))
    bounds = "without an interval"
    if found.low is not None:
        bounds = f"interval {found.low:.4f} to {found.high:.4f}"
    said = f"{metric} is {found.value:.4f} {where} ({bounds})"
    shown = found.low is not None and found.low > CHANCE + ROUNDING
    least = found.value if found.low is None else found.low
    if not shown:
        said += f", which does not show that it is better than a coin ({CHANCE:g})"
    return Gate(
        BETTER_THAN_CHANCE,
        passed=shown and not below,
        seen=min([least, *(told[name].value for name in below)]),
        limit=CHANCE,
        said="; ".join([said, *faults]),
    )


def _figure(entry: Mapping[str, Any]) -> Difference | None:
    """Returns a place's figure with its interval, or None where it tells none."""
    told = entry.get(METRIC, {})
    if told.get("value") is None:
        return None
    images = entry.get("images")
    counted = images if isinstance(images, int) else None
    return Difference(told["value"], told.get("low"), told.get("high"), counted)
