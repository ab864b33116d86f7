"""One cell of a decision matrix: a criterion's value over the runs, and how far it is in doubt."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fed_assets.comparison.criterion import Criterion
from fed_assets.comparison.readings import Reading

Floats = NDArray[np.float64]

LEVEL = 0.95  # of every interval
SEEDS, MEASUREMENT, NO_WIDTH = ("seeds", "measurement", "no_width")
# What chance alone between two runs may do is at most this factor: a t of one degree of freedom
# has tails in which a run would take years.
MOST_FACTOR = 10.0


@dataclass(frozen=True)
class Cell:
    """What was measured of one criterion.

    Attributes:
        value: over all runs; None where none of them measured it.
        low: lower end of its 95 % interval; None where nothing tells it.
        high: its upper end.
        basis: what the interval comes from: "seeds" or "measurement"; "no_width" where all seeds or
            resamples agree, which tells nothing of the doubt and is no interval; or None.
        readings: what each run measured, in the order of the runs; None where one did not.
    """

    value: float | None
    low: float | None
    high: float | None
    basis: str | None
    readings: tuple[Reading | None, ...]

    @property
    def values(self) -> tuple[float, ...]:
        """The values of the runs that measured it."""
        return tuple(each.value for each in self.readings if each is not None)

    @property
    def own_half_widths(self) -> tuple[float, float]:
        """How far the runs' own intervals reach below and above their values, in the mean."""
        below = [each.value - each.low for each in self.readings if each and each.low is not None]
        above = [each.high - each.value for each in self.readings if each and each.high is not None]
        if not below:
            return 0.0, 0.0
        return max(0.0, sum(below) / len(below)), max(0.0, sum(above) / len(above))

    def as_row(self) -> dict[str, Any]:
        """Returns it as JSON-ready values."""
        return {
            "value": self.value,
            "low": self.low,
            "high": self.high,
            "interval_from": self.basis,
            "runs": len(self.values),
            "values": list(self.values),
        }


def cell(criterion: Criterion, readings: Sequence[Reading | None]) -> Cell:
    """Returns what the runs' readings come to.

    The value is the mean, or the worst run's where the criterion says so. Over several runs the
    interval is Student's t of the mean; on a ratio scale it is taken of the logarithm, to first
    order, so that it stays above zero. Of one run it is the measurement's own.
    """
    runs = tuple(readings)
    known = [each for each in runs if each is not None]
    if not known:
        return Cell(None, None, None, None, runs)
    values = np.array([each.value for each in known])
    if criterion.worst_of_runs:
        worst = values.min() if criterion.higher_is_better else values.max()
        return Cell(float(worst), None, None, None, runs)
    if len(known) == 1:
        only = known[0]
        if only.low is None or only.high is None:
            return Cell(only.value, None, None, None, runs)
        return Cell(only.value, *_informative(only.low, only.high, MEASUREMENT), runs)
    mean, half = float(values.mean()), half_width(values)
    low, high = moved(criterion, mean, np.array([-half, half]))
    return Cell(mean, *_informative(float(low), float(high), SEEDS), runs)


def _informative(low: float, high: float, basis: str) -> tuple[float | None, float | None, str]:
    """Returns an interval and what it comes from; one without width is none."""
    return (low, high, basis) if has_width(low, high) else (None, None, NO_WIDTH)


def has_width(low: float, high: float) -> bool:
    """Returns whether an interval has two ends, as far as floating point tells them apart.

    >>> has_width(0.9, 0.9 + 1e-16), has_width(0.9, 0.91)
    (False, True)
    """
    return not math.isclose(low, high, rel_tol=1e-12, abs_tol=1e-15)


def half_width(values: Floats) -> float:
    """Returns how far Student's t interval of the mean of several values reaches on each side."""
    from scipy import stats

    quantile = stats.t.ppf((1 + LEVEL) / 2, len(values) - 1)
    return float(quantile * values.std(ddof=1) / math.sqrt(len(values)))


def moved(criterion: Criterion, value: float, by: Floats) -> Floats:
    """Returns a value moved by deviations in its unit, kept where values of the criterion can be.

    Args:
        criterion: whose value it is.
        value: where it is moved from.
        by: the deviations, of any shape.
    """
    if not criterion.relative:
        return np.clip(value + by, criterion.least, criterion.most)
    if value == 0:
        return np.zeros_like(by)
    limit = math.log(MOST_FACTOR)
    return np.asarray(value * np.exp(np.clip(by / value, -limit, limit)))
