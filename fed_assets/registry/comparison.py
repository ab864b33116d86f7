"""What a version is worth beside the champion: a difference per place, or why none is told."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from statistics import NormalDist, fmean
from typing import Any

SHOWN = {"auroc": "AUROC", "accuracy": "accuracy"}


@dataclass(frozen=True)
class Difference:
    """A metric of the version less the champion's, on the very same images.

    Attributes:
        value: Above zero where the version is better.
        low: Where its interval begins; None where there is none.
        high: Where it ends.
        images: How many there are; None where that is not told.
    """

    value: float
    low: float | None
    high: float | None
    images: int | None


@dataclass(frozen=True)
class Differences:
    """A metric at every place: the difference, or a few words why it is not told.

    Attributes:
        hospitals: On each hospital's own test images.
        common: On the common test set.
        has_common: Whether there is one.
    """

    hospitals: Mapping[str, Difference | str]
    common: Difference | str | None
    has_common: bool

    @property
    def told(self) -> dict[str, Difference]:
        """Returns the hospitals that tell a difference."""
        return {name: each for name, each in self.hospitals.items() if isinstance(each, Difference)}

    @property
    def untold(self) -> dict[str, str]:
        """Returns why the other hospitals tell none."""
        return {name: each for name, each in self.hospitals.items() if isinstance(each, str)}


def difference_of(answer: Mapping[str, Any], metric: str) -> Difference | str:
    """Returns what a place answered of a metric, or why it tells nothing.

    Args:
        answer: Of the task `compare_models`.
        metric: Its name.
    """
    found = answer["differences"][metric]
    if found.get("suppressed"):
        return "its counts are too small to be told"
    if found["value"] is None:
        return f"{SHOWN.get(metric, metric)} is not defined on its test images"
    images = answer["images"]
    told = images if isinstance(images, int) else None
    return Difference(found["value"], found["low"], found["high"], told)


def mean_difference(told: Mapping[str, Difference], *, confidence: float) -> Difference | None:
    """Returns the unweighted mean over hospitals, with the interval that theirs add up to.

    Each hospital counts once, however many images it has. Hospitals' images are independent, so
    the variances add up; each is taken from the width of its interval as of a normal distribution.
    The interval is None where a hospital has none.
    """
    if not told:
        return None
    value = fmean(each.value for each in told.values())
    counts = [each.images for each in told.values()]
    images = sum(count for count in counts if count is not None) if None not in counts else None
    quantile = NormalDist().inv_cdf((1 + confidence) / 2)
    deviations = [
        (each.high - each.low) / (2 * quantile)
        for each in told.values()
        if each.low is not None and each.high is not None
    ]
    if len(deviations) < len(told):
        return Difference(value, None, None, images)
    half = quantile * math.hypot(*deviations) / len(told)
    return Difference(value, value - half, value + half, images)


def said_of(found: Difference, metric: str, champion: int) -> str:
    """Returns a difference in words.

    >>> said_of(Difference(-0.0712, -0.12, -0.01, 26), "auroc", 2)
    'AUROC is 0.0712 lower than that of version 2 (interval -0.1200 to -0.0100, 26 images)'
    """
    way = "higher" if found.value > 0 else "lower"
    much = f"{abs(found.value):.4f} {way} than" if round(found.value, 4) else "equal to"
    beside = [] if found.low is None else [f"interval {found.low:.4f} to {found.high:.4f}"]
    beside += [] if found.images is None else [f"{found.images} images"]
    brackets = f" ({', '.join(beside)})" if beside else ""
    return f"{SHOWN.get(metric, metric)} is {much} that of version {champion}{brackets}"
