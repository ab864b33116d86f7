"""What training has cost of privacy, and how much noise a training to come needs.

The costs of steps add up in Rényi differential privacy (Mironov 2017, arXiv:1702.07476), those of
different noise and sampling too; one step costs what the sampled Gaussian mechanism does (Mironov
et al. 2019, arXiv:1908.10530), where two sets of records are neighbours if one of them has a record
more. Opacus reckons both, and turns the sum into epsilon.
"""

from __future__ import annotations

import math
import warnings
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

# Fewer than Opacus' own, of which those near 1 take most of the time and serve an epsilon of some
# 20 or more, and larger ones for one below 1. With any choice epsilon is an upper bound.
ORDERS = (
    1.5,
    *(quarter / 4 for quarter in range(8, 44)),
    *map(float, (*range(11, 32), *range(32, 64, 4), 64, 80, 96, 128, 192, 256)),
)
# Where noise is looked for. How much of it drowns what is learned depends on how many images all
# hospitals have together, which none of them knows, so the bounds say nothing of use.
LEAST_NOISE, MOST_NOISE = 0.2, 100.0
# Of the noise that the whole budget takes; see `LeastNoise`. With the shipped roster 3 times the
# noise of epsilon 8 cost nothing that shows, and 6 times 0.04 of AUROC.
MOST_TIMES = 10.0
_PRECISION = 1e-7  # of the noise multiplier


@dataclass(frozen=True, kw_only=True)
class Steps:
    """Steps of DP-SGD, all alike.

    Attributes:
        noise_multiplier: Standard deviation of the noise, as a multiple of the clipping norm.
        sample_rate: How likely each record comes into a batch.
        count: How many steps.
    """

    noise_multiplier: float
    sample_rate: float
    count: int


@dataclass(frozen=True, kw_only=True)
class LeastNoise:
    """What noise steps to come take, beside what they would take of a budget not yet touched.

    Attributes:
        needed: The least noise multiplier with which they stay in what is left; None: none does.
        untouched: The same where nothing was spent before.
    """

    needed: float | None
    untouched: float | None

    @property
    def useful(self) -> float | None:
        """Returns what is needed, or None where it is so much that the rest of a budget is none.

        Who set the budget weighed what is learned with the noise that all of it takes. With
        `MOST_TIMES` as much, too little is learned to be worth what is spent.
        """
        if self.needed is None or self.untouched is None:
            return None
        return self.needed if self.needed <= MOST_TIMES * self.untouched else None


def epsilon_of(taken: Iterable[Steps], delta: float) -> float:
    """Returns the epsilon that all steps together cost at this delta; 0 of none."""
    costs = _costs(taken)
    return _epsilon(costs, delta) if costs.any() else 0.0


def least_noise_for(
    taken: Iterable[Steps], *, sample_rate: float, count: int, of: int, epsilon: float, delta: float
) -> LeastNoise:
    """Returns what noise steps to come take of what is left, and would take of the whole budget.

    Args:
        taken: Every step before, whatever its noise.
        sample_rate: Of the steps to come.
        count: How many are to come.
        of: How many the whole run has, with those of its earlier rounds.
        epsilon: The whole budget, of which `taken` has used some.
        delta: Its delta.
    """
    asked = {"sample_rate": sample_rate, "epsilon": epsilon, "delta": delta}
    return LeastNoise(
        needed=noise_multiplier_for(taken, count=count, **asked),
        untouched=noise_multiplier_for((), count=of, **asked),
    )


def noise_multiplier_for(
    taken: Iterable[Steps], *, sample_rate: float, count: int, epsilon: float, delta: float
) -> float | None:
    """Returns the least noise with which so many steps more stay within a budget, never above.

    Args:
        taken: Every step before, whatever its noise.
        sample_rate: Of the steps to come.
        count: How many are to come.
        epsilon: The whole budget, of which `taken` has used some.
        delta: Its delta.

    Returns:
        The noise multiplier, or None where even `MOST_NOISE` is not enough.
    """
    from scipy.optimize import brentq

    before = _costs(taken)

    def beyond(noise_multiplier: float) -> float:
        more = Steps(noise_multiplier=noise_multiplier, sample_rate=sample_rate, count=count)
        return math.log(_epsilon(before + _costs([more]), delta) / epsilon)

    if beyond(MOST_NOISE) > 0:
        return None
    if beyond(LEAST_NOISE) <= 0:
        return LEAST_NOISE
    found = float(brentq(beyond, LEAST_NOISE, MOST_NOISE, rtol=_PRECISION))
    while beyond(found) > 0:
        found *= 1 + _PRECISION
    return found


def _costs(taken: Iterable[Steps]) -> NDArray[np.float64]:
    """Returns the Rényi divergence of all steps at each of the orders."""
    from opacus.accountants.analysis.rdp import compute_rdp

    alike: Counter[tuple[float, float]] = Counter()
    for steps in taken:
        alike[steps.sample_rate, steps.noise_multiplier] += steps.count
    costs = np.zeros(len(ORDERS))
    for (rate, noise), count in alike.items():
        costs += compute_rdp(q=rate, noise_multiplier=noise, steps=count, orders=ORDERS)
    return costs


def _epsilon(costs: NDArray[np.float64], delta: float) -> float:
    from opacus.accountants.analysis.rdp import get_privacy_spent

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the best order that is the last: it is a bound still
        found: tuple[Any, Any] = get_privacy_spent(orders=ORDERS, rdp=costs, delta=delta)
    return max(float(found[0]), 1e-9)
