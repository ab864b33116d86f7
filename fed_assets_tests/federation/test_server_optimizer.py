"""FedOpt against the paper's formulas written out, coordinate by coordinate."""

from __future__ import annotations

import math

import numpy as np
import pytest

from fed_assets.federation.server_optimizer import step
from fed_assets.federation.weights import read_weights, write_weights
from fed_assets.privacy.digests import weights_digest
from fed_assets.sandboxes.controls import Aggregation
from fed_assets.sandboxes.protection import Optimizer, Rule

ROUNDS = 6


def rule_of(optimizer):
    return Rule.by_default(Aggregation.FEDOPT, optimizer=optimizer, learning_rate=0.05)


def start():
    noise = np.random.default_rng(0)
    return {
        "layer.weight": noise.normal(size=7).astype(np.float64),
        "norm.running_var": noise.random(3).astype(np.float32),
        "norm.num_batches_tracked": np.array(5),
    }


def mean_of(weights, round_number):
    """What a round's updates average to: half a step towards another point each time."""
    noise = np.random.default_rng(round_number)
    return {
        name: (array + noise.random(array.shape)).astype(array.dtype)
        for name, array in weights.items()
    }


def expected(rule, weights, gradients):
    """Returns one coordinate after steps along its pseudo-gradients, as in algorithm 2."""
    first, second = 0.0, (rule.tau or 0.0) ** 2
    for gradient in gradients:
        if rule.optimizer == "momentum":
            first = rule.beta_1 * first + gradient
            weights += rule.learning_rate * first
            continue
        first = rule.beta_1 * first + (1 - rule.beta_1) * gradient
        square = gradient * gradient
        if rule.optimizer == "adagrad":
            second += square
        elif rule.optimizer == "yogi":
            second -= (1 - rule.beta_2) * square * math.copysign(1, second - square)
        else:
            second = rule.beta_2 * second + (1 - rule.beta_2) * square
        weights += rule.learning_rate * first / (math.sqrt(second) + rule.tau)
    return weights


@pytest.mark.parametrize("optimizer", Optimizer)
def test_weights_step_as_in_the_paper(optimizer):
    rule, weights, state = rule_of(optimizer), start(), {}
    gradients = []
    for round_number in range(ROUNDS):
        mean = mean_of(weights, round_number)
        gradients.append(mean["layer.weight"] - weights["layer.weight"])
        weights, state = step(rule, weights, mean, state)
    for at, value in enumerate(start()["layer.weight"]):
        stepped = expected(rule, float(value), [float(each[at]) for each in gradients])
        assert weights["layer.weight"][at] == pytest.approx(stepped, rel=1e-9)


@pytest.mark.parametrize("optimizer", Optimizer)
def test_running_statistics_and_counters_are_averaged(optimizer):
    weights = start()
    mean = mean_of(weights, 1)
    after, state = step(rule_of(optimizer), weights, mean, {})
    for name in ("norm.running_var", "norm.num_batches_tracked"):
        np.testing.assert_array_equal(after[name], mean[name])
    assert {name.partition(".")[2] for name in state} == {"layer.weight"}
    assert not np.array_equal(after["layer.weight"], mean["layer.weight"])


@pytest.mark.parametrize("optimizer", Optimizer)
def test_a_state_that_was_written_and_read_goes_on_with_the_same_bits(optimizer, tmp_path):
    rule = rule_of(optimizer)
    weights = {name: array.astype(np.float32) for name, array in start().items()}
    state = {}
    once, again = (weights, {}), (weights, {})
    for round_number in range(ROUNDS):
        once = step(rule, once[0], mean_of(once[0], round_number), once[1])
        write_weights(tmp_path / "state", again[1])
        state = read_weights(tmp_path / "state")
        again = step(rule, again[0], mean_of(again[0], round_number), state)
    assert weights_digest(once[0]) == weights_digest(again[0])
    assert weights_digest(once[1]) == weights_digest(again[1])
    forgetful, _ = step(rule, weights, mean_of(weights, 0), {})
    other, _ = step(rule, weights, mean_of(weights, 0), once[1])
    assert weights_digest(forgetful) != weights_digest(other)  # the state matters
