"""The least that a model has to be worth to serve at all, whatever else serves or does not.

An AUROC of 0.5 is that of a coin. On the common test set the whole interval has to lie above it:
that set is large, and to show that a model tells the classes apart asks for no more than that. A
hospital's own images are too few for such an interval, so there the point decides: none may be
served what ranks its patients worse than chance would.

An AUROC is of all thresholds, and the service answers with one. A model that ranks well may call
every image positive there, and helps nobody. So Youden's J at that threshold, sensitivity +
specificity - 1 (Youden 1950, Cancer 3:32), has to reach the least that the roster names: it is 0
where images are called alike or by lot, and 1 where every image is called right. The default of 0.1
keeps out what is useless, and chooses nothing between models: on PneumoniaMNIST's 624 test images
the shipped recipe came to 0.81 to 0.84 under three seeds, without differential privacy, and the
worst of its hospitals alone, with a specificity of 0.21, to 0.20
(`benchmarks/results/quality.json`).
"""

from __future__ import annotations

from collections.abc import Mapping
from statistics import fmean
from typing import Any

from fed_assets.registry.comparison import SHOWN, Difference, mean_difference
from fed_assets.registry.gate import BETTER_THAN_CHANCE, ROUNDING, USEFUL_THRESHOLD, Gate, Terms
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


def useful_threshold(version: ModelVersion, terms: Terms) -> Gate:
    """Judges what the service will answer, by Youden's J at the threshold that it answers with.

    Of more than two classes each is held against the rest, and the likeliest is the answer. Without
    a common test set, the mean over the hospitals that tell counts.

    Args:
        version: Which is judged; its figures are those at its threshold.
        terms: With the least that J has to be.
    """
    least = terms.least_youden
    common = version.common_test_digest is not None
    places = ["test"] if common else version.evaluation["hospitals"]
    told = [rates for place in places if (rates := _rates(version, place))]
    where = "on the common test set"
    if not common:
        where = f"in the mean of {len(told)} hospitals (there is no common test set)"
    if not told:
        said = f"no sensitivity and specificity were told {where}"
        return Gate(USEFUL_THRESHOLD, False, None, least, said, waivable=True)
    sensitivity, specificity = (fmean(rate) for rate in zip(*told, strict=True))
    youden = sensitivity + specificity - 1
    passed = youden >= least - ROUNDING
    missed = "" if passed else f", which it misses by {least - youden:.4f}"
    answer = "as the likeliest class"
    if len(version.classes) == 2:
        answer = f"from the served threshold of {version.threshold:g} on"
    said = (
        f"Youden's J is {youden:.4f} {where}, {answer} (sensitivity {sensitivity:.4f}, "
        f"specificity {specificity:.4f}); {least:g} is asked for{missed}"
    )
    return Gate(USEFUL_THRESHOLD, passed, youden, least, said, waivable=True)


def _rates(version: ModelVersion, place: str) -> tuple[float, float] | None:
    """Returns sensitivity and specificity there, or None where it does not tell both."""
    sensitivity, specificity = (
        version.figure(place, name) for name in ("sensitivity", "specificity")
    )
    return None if sensitivity is None or specificity is None else (sensitivity, specificity)


def _figure(entry: Mapping[str, Any]) -> Difference | None:
    """Returns a place's figure with its interval, or None where it tells none."""
    told = entry.get(METRIC, {})
    if told.get("value") is None:
        return None
    images = entry.get("images")
    counted = images if isinstance(images, int) else None
    return Difference(told["value"], told.get("low"), told.get("high"), counted)
