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
class Run:
    """Which training a reading is of.

    Attributes:
        seed: of the training.
        model: what says by which weights, and tested on which data; None where it is not recorded.
    """

    seed: int
    model: str | None = None


@dataclass(frozen=True)
class Cell:
    """What was measured of one criterion.

    Attributes:
        value: over all runs; None where none of them measured it.
        measured: the same as it was measured, which chance may have put below the least that can
            be: the value is then that least.
        low: lower end of its 95 % interval; None where nothing tells it.
        high: its upper end.
        basis: what the interval comes from: "seeds" or "measurement"; "no_width" where all seeds or
            resamples agree, which tells nothing of the doubt and is no interval; or None, as of
            what is exact.
        readings: what each run measured, in the order of the runs; None where one did not.
        runs: which those are.
    """

    value: float | None
    measured: float | None
    low: float | None
    high: float | None
    basis: str | None
    readings: tuple[Reading | None, ...]
    runs: tuple[Run, ...]

    @property
    def known(self) -> list[tuple[Run, Reading]]:
        """The runs that measured it, with what they did."""
        pairs = zip(self.runs, self.readings, strict=True)
        return [(run, each) for run, each in pairs if each is not None]

    @property
    def values(self) -> tuple[float, ...]:
        """The values of the runs that measured it."""
        return tuple(each.value for each in self.readings if each is not None)

    @property
    def own_half_widths(self) -> tuple[float, float]:
        """How far the runs' own intervals reach below and above their values, in the mean.

        One without width tells nothing, and is none. 0 where no run has any.
        """
        ends = [
            (each.value - each.low, each.high - each.value)
            for each in self.readings
            if each and each.low is not None and each.high is not None
            if has_width(each.low, each.high)
        ]
        below, above = (
            (float(np.mean(side)) for side in zip(*ends, strict=True)) if ends else (0, 0)
        )
        return max(0.0, below), max(0.0, above)

    def as_row(self) -> dict[str, Any]:
        """Returns it as JSON-ready values."""
        return {
            "value": self.value,
            "measured_below": None if self.measured == self.value else self.measured,
            "low": self.low,
            "high": self.high,
            "interval_from": self.basis,
            "runs": len(self.values),
            "values": list(self.values),
        }


def cell(
    criterion: Criterion, readings: Sequence[Reading | None], runs: Sequence[Run] = ()
) -> Cell:
    """Returns what the runs' readings come to.

    The value is the mean, or the worst run's where the criterion says so. Over several runs the
    interval is Student's t of the mean; on a ratio scale it is taken of the logarithm, to first
    order, so that it stays above zero. Of one run it is the measurement's own.

    Args:
        criterion: what was measured.
        readings: of each run.
        runs: which those are; runs of the seeds 0, 1... if left out.
    """
    own = tuple(readings), tuple(runs) or tuple(map(Run, range(len(readings))))
    known = [each for each in own[0] if each is not None]
    if not known:
        return Cell(None, None, None, None, None, *own)
    values = np.array([each.value for each in known])
    if criterion.worst_of_runs:
        worst = float(values.min() if criterion.higher_is_better else values.max())
        return Cell(worst, worst, None, None, None, *own)
    mean = float(values.mean())
    value = max(mean, criterion.least)
    if len(known) == 1:
        low, high, basis = known[0].low, known[0].high, MEASUREMENT
    else:
        half, basis = half_width(values), SEEDS
        low, high = mean - half, mean + half
        if criterion.relative:
            low, high = map(float, moved(criterion, mean, np.array([-half, half])))
    if low is None or high is None:
        return Cell(value, mean, None, None, None, *own)
    if not has_width(low, high):
        return Cell(value, mean, None, None, None if criterion.exact else NO_WIDTH, *own)
    low, high = map(float, np.clip([low, high], criterion.least, criterion.most))
    return Cell(value, mean, low, high, basis, *own)


def spread_is_told(of: Cell) -> bool:
    """Returns whether runs tell how far they vary: several, and not all alike."""
    return bool(of.values) and has_width(min(of.values), max(of.values))


def doubt_is_unknown(criterion: Criterion, of: Cell) -> bool:
    """Returns whether a model's figure has nothing that tells how far it is in doubt.

    That is an interval without width, or none: what is exact has none either, and needs none, and
    of a machine's doing the spread is assumed.
    """
    if of.value is None or not criterion.of_model or of.basis in (SEEDS, MEASUREMENT):
        return False
    return not any(of.own_half_widths)


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
