"""FedOpt: the server steps along the mean update as an optimizer steps along a gradient.

Reddi et al. 2021 (arXiv:2003.00295, algorithm 2): FedAdagrad, FedYogi and FedAdam; `momentum` is
FedAvgM (Hsu et al. 2019, arXiv:1909.06335). What no gradient leads to is averaged as by FedAvg: the
running statistics of batch normalisation, where a step might make a variance negative, and
integer arrays.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from fed_assets.federation.weights import Weights
from fed_assets.privacy.statistics import is_learned
from fed_assets.sandboxes.protection import Optimizer, Rule

FIRST, SECOND = "first_moment.", "second_moment."

_Array = np.ndarray[Any, Any]


def step(
    rule: Rule, received: Weights, mean: Weights, state: Mapping[str, _Array]
) -> tuple[Weights, Weights]:
    """Returns the next global weights, and the optimizer's state after them.

    With the pseudo-gradient d = mean - received, m = beta_1 m + (1 - beta_1) d, and v = v + d^2
    (adagrad), v - (1 - beta_2) d^2 sign(v - d^2) (yogi) or beta_2 v + (1 - beta_2) d^2 (adam), the
    weights become received + learning_rate m / (sqrt(v) + tau). For `momentum`, m = beta_1 m + d,
    and they become received + learning_rate m. There is no correction of the first steps' bias, as
    in the paper.

    Args:
        rule: The optimizer and its numbers.
        received: The weights that the round's updates started from.
        mean: What FedAvg makes of the updates.
        state: What the round before returned; nothing before the first.
    """
    after: Weights = {}
    next_state: Weights = {}
    for name, start in received.items():
        if not is_learned(name, start):
            after[name] = mean[name]
            continue
        gradient = mean[name].astype(np.float64) - start
        first = _moment(state, FIRST + name, start, 0.0)
        assert rule.learning_rate is not None and rule.beta_1 is not None
        if rule.optimizer is Optimizer.MOMENTUM:
            first = rule.beta_1 * first + gradient
            taken = first
        else:
            assert rule.tau is not None
            first = rule.beta_1 * first + (1 - rule.beta_1) * gradient
            second = _second(rule, _moment(state, SECOND + name, start, rule.tau**2), gradient**2)
            taken = first / (np.sqrt(second) + rule.tau)
            next_state[SECOND + name] = np.asarray(second, dtype=start.dtype)
        next_state[FIRST + name] = np.asarray(first, dtype=start.dtype)
        after[name] = np.asarray(start + rule.learning_rate * taken, dtype=start.dtype)
    return after, next_state


def _second(rule: Rule, before: _Array, square: _Array) -> _Array:
    if rule.optimizer is Optimizer.ADAGRAD:
        return np.asarray(before + square)
    assert rule.beta_2 is not None
    if rule.optimizer is Optimizer.YOGI:
        return np.asarray(before - (1 - rule.beta_2) * square * np.sign(before - square))
    return np.asarray(rule.beta_2 * before + (1 - rule.beta_2) * square)


def _moment(state: Mapping[str, _Array], name: str, like: _Array, start: float) -> _Array:
    """Returns a moment as float64; kept in the weights' type, a state on disk loses no bit."""
    return state[name].astype(np.float64) if name in state else np.full(like.shape, start)
