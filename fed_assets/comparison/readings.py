"""One number read from a measurement record, with its own interval where it has one."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from fed_assets.comparison.forms import is_number
from fed_assets.errors import MeasurementError

BOUNDS = (0.025, 0.975)  # of an interval, among resamples
ROUNDED = 1e-5  # how far rounding, of resamples to six digits, may put what is alike
SUPPRESSED = "suppressed"  # what a hospital answers in place of a count that it does not tell


@dataclass(frozen=True)
class Resampled:
    """What each bootstrap resample of some images came to.

    Attributes:
        of: digest of the images and of what was drawn; where it is the same, two are pairs.
        values: one of each resample; NaN where it is not defined, and at least one is.
    """

    of: str
    values: tuple[float, ...]

    @property
    def tell_doubt(self) -> bool:
        """Whether they do not all agree."""
        return len({each for each in self.values if math.isfinite(each)}) > 1


@dataclass(frozen=True)
class Reading:
    """A measured value, the 95 % interval that was measured with it, or None, and resamples."""

    value: float
    low: float | None = None
    high: float | None = None
    resampled: Resampled | None = None

    @property
    def holds_its_value(self) -> bool:
        """Whether the interval, where there is one, holds the value."""
        if self.low is None or self.high is None:
            return True
        return self.low - ROUNDED <= self.value <= self.high + ROUNDED

    @property
    def other_interval(self) -> tuple[float, float] | None:
        """The interval of the resamples, where it is not the one that was measured."""
        if self.resampled is None or self.low is None or self.high is None:
            return None
        low, high = map(float, np.nanquantile(self.resampled.values, BOUNDS))
        alike = max(abs(low - self.low), abs(high - self.high)) <= ROUNDED
        return None if alike else (low, high)


def reading(raw: Any, *, where: str) -> Reading | None:
    """Returns what stands in a record as a number, or as a mapping of `value`, `low` and `high`.

    Returns:
        The reading; None where nothing was measured, or a hospital does not tell it.

    Raises:
        MeasurementError: it is no finite number, or its interval is upside down.
    """
    if isinstance(raw, Mapping):
        value, low, high = (_number(raw.get(key), where) for key in ("value", "low", "high"))
        if value is None:
            return None
        if low is None or high is None:
            return Reading(value)
        if low > high:
            raise MeasurementError(
                "An interval's low end is above its high end", where=where, seen=f"{low} to {high}"
            )
        return Reading(value, low, high)
    value = _number(raw, where)
    return None if value is None else Reading(value)


def resampled_of(record: Mapping[str, Any], name: str, *, where: str) -> Resampled | None:
    """Returns a figure's resamples of a measurement record; None where it has none.

    Raises:
        MeasurementError: they are no list of numbers, nothing says what of, or another figure of
            the record has another number of them.
    """
    found = record.get("resampled") or {}
    of, values = found.get("of"), found.get("values") or {}
    elsewhere = (record.get("resampled_elsewhere") or {}).get(name)
    if elsewhere is not None:
        of, values = elsewhere.get("of"), {name: elsewhere.get("values")}
    raw = values.get(name)
    if raw is None:
        return None
    if not isinstance(raw, list) or not isinstance(of, str):
        raise MeasurementError(
            "Resamples are a list of numbers, and a digest says what of", where=where
        )
    many = {name: len(each) for name, each in values.items() if isinstance(each, list)}
    if len(set(many.values())) > 1:
        counted = ", ".join(f"{count} of {figure}" for figure, count in many.items())
        raise MeasurementError("Figures have not equally many resamples", where=where, seen=counted)
    numbers = (_number(each, where) for each in raw)
    values = tuple(math.nan if each is None else each for each in numbers)
    return None if all(map(math.isnan, values)) else Resampled(of, values)


def _number(raw: Any, where: str) -> float | None:
    if raw is None or raw == SUPPRESSED:
        return None
    if not is_number(raw):
        raise MeasurementError("A measured value is no number", where=where, seen=repr(raw))
    return float(raw)


def membership_bound(epsilon: float | None, delta: float) -> float:
    """Returns the largest advantage that (epsilon, delta) lets any membership inference have.

    The advantage is the attack's true positive rate less its false positive rate. Of any test
    between two neighbouring data sets it is at most (e^epsilon - 1 + 2 delta) / (e^epsilon + 1):
    where the two bounds on its errors meet (Kairouz, Oh and Viswanath 2015, The composition theorem
    for differential privacy, ICML). No bound on epsilon is thus no bound on the advantage, 1: an
    infinite cost becomes a finite one without an invented number. The same formula says how little
    a large epsilon promises.

    Args:
        epsilon: from 0 on; None where there is no bound.
        delta: from 0 to 1.

    Returns:
        From 0, which nobody can tell a member by, to 1.

    >>> membership_bound(None, 0.0), round(membership_bound(1.0, 1e-5), 4)
    (1.0, 0.4621)
    >>> round(membership_bound(8.0, 1e-5), 4)
    0.9993
    """
    if epsilon is None:
        return 1.0
    shrunk = math.exp(-epsilon)
    return min(1.0, math.tanh(epsilon / 2) + 2 * delta * shrunk / (1 + shrunk))
