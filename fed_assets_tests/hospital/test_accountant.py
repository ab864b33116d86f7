from __future__ import annotations

import math

import numpy as np
import pytest
from opacus.accountants import PRVAccountant, RDPAccountant

from fed_assets.hospital.accountant import MOST_NOISE, Steps, epsilon_of, noise_multiplier_for

DELTA = 1e-5
RATE, COUNT = 128 / 470, 60  # ten hospitals of 470 images: fifteen rounds of four batches


def reckoned_anew(taken: list[Steps], delta: float) -> float:
    """Returns epsilon by the formulas alone, over whole orders.

    Mironov et al. 2019 (arXiv:1908.10530), section 3.3, for the divergence of one step; Balle et
    al. 2020 (arXiv:1905.09982), theorem 21, for what all come to.
    """

    def step(order: int, rate: float, noise: float) -> float:
        terms = [
            math.lgamma(order + 1)
            - math.lgamma(k + 1)
            - math.lgamma(order - k + 1)
            + k * math.log(rate)
            + (order - k) * math.log1p(-rate)
            + k * (k - 1) / (2 * noise**2)
            for k in range(order + 1)
        ]
        return float(np.logaddexp.reduce(terms)) / (order - 1)

    return min(
        sum(each.count * step(order, each.sample_rate, each.noise_multiplier) for each in taken)
        + math.log1p(-1 / order)
        - (math.log(delta) + math.log(order)) / (order - 1)
        for order in range(2, 64)
    )


def steps(noise_multiplier: float, sample_rate: float = RATE, count: int = COUNT) -> Steps:
    return Steps(noise_multiplier=noise_multiplier, sample_rate=sample_rate, count=count)


MIXED = [steps(1.6), steps(1.1, 0.05, 40), steps(3.0, 0.2, 10)]


@pytest.mark.parametrize("taken", [[steps(1.6)], [steps(3.0, 0.05, 200)], MIXED])
def test_epsilon_is_what_the_formulas_give(taken: list[Steps]) -> None:
    ours, anew = epsilon_of(taken, DELTA), reckoned_anew(taken, DELTA)
    # Whole orders alone can only give more, and here hardly any more.
    assert anew * 0.97 <= ours <= anew * (1 + 1e-9)


def test_epsilon_is_what_another_accountant_bounds_from_below() -> None:
    accountant = PRVAccountant()  # by numbers, and not by Rényi divergence
    for each in MIXED:
        accountant.history.append((each.noise_multiplier, each.sample_rate, each.count))
    tighter = accountant.get_epsilon(DELTA)
    assert tighter < epsilon_of(MIXED, DELTA) < 1.3 * tighter


def test_steps_that_are_alike_cost_the_same_however_they_are_told() -> None:
    accountant = RDPAccountant()
    for _ in range(15):
        accountant.history.append((1.6, RATE, 4))
    together = epsilon_of([steps(1.6)], DELTA)
    assert epsilon_of([steps(1.6, RATE, 4)] * 15, DELTA) == pytest.approx(together, rel=1e-12)
    with_more_orders = accountant.get_epsilon(DELTA)
    assert with_more_orders <= together < 1.005 * with_more_orders
    assert epsilon_of([], DELTA) == 0


@pytest.mark.parametrize("epsilon", [1.0, 8.0])
@pytest.mark.parametrize("taken", [[], [steps(8.0, 0.1, 50)]])
def test_the_noise_found_hits_the_budget_within_a_hundredth_and_never_above(
    epsilon: float, taken: list[Steps]
) -> None:
    noise = noise_multiplier_for(taken, sample_rate=RATE, count=COUNT, epsilon=epsilon, delta=DELTA)
    assert noise is not None
    assert 0.99 * epsilon < epsilon_of([*taken, steps(noise)], DELTA) <= epsilon
    assert epsilon_of([*taken, steps(0.99 * noise)], DELTA) > epsilon  # less would not do


def test_where_the_budget_is_spent_there_is_no_noise_that_would_do() -> None:
    noise = noise_multiplier_for([], sample_rate=RATE, count=COUNT, epsilon=8.0, delta=DELTA)
    assert noise is not None
    spent = [steps(noise)]
    asked = {"sample_rate": RATE, "count": COUNT, "delta": DELTA}
    assert noise_multiplier_for(spent, epsilon=8.0, **asked) is None
    raised = noise_multiplier_for(spent, epsilon=12.0, **asked)
    assert raised is not None
    assert raised < MOST_NOISE
