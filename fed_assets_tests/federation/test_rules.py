"""Rules at work over rounds: on a small problem, with hostile hospitals and without."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import numpy as np
import pytest

from fed_assets.errors import JobFailed, QuorumNotMet
from fed_assets.federation.aggregation import Update, fedavg
from fed_assets.federation.rules import aggregate
from fed_assets.privacy.digests import weights_digest
from fed_assets.sandboxes.controls import Aggregation
from fed_assets.sandboxes.protection import Optimizer, Rule

ROUNDS, HOSPITALS, HOSTILE = 15, 10, 2
ROBUST = [
    Rule(kind=Aggregation.WEIGHTED_MEDIAN),
    Rule(kind=Aggregation.TRIMMED_MEAN, tolerated=HOSTILE),
    Rule(kind=Aggregation.MULTI_KRUM, tolerated=HOSTILE),
]


def problem(seed=0):
    """Returns the images of ten hospitals, and those of a test: two classes, 20 figures each."""
    noise = np.random.default_rng(seed)
    direction = noise.normal(size=20)

    def drawn(count):
        images = noise.normal(size=(count, 20))
        labels = (images @ direction + noise.normal(size=count) > 0).astype(np.float64)
        return images, labels

    return [drawn(int(noise.integers(60, 140))) for _ in range(HOSPITALS)], drawn(2000)


def train(weights, images, labels):
    """Returns weights after ten steps of logistic regression."""
    slope = weights["w"].astype(np.float64)
    for _ in range(10):
        guess = 1 / (1 + np.exp(-np.clip(images @ slope, -50, 50)))
        slope = slope - 0.3 * images.T @ (guess - labels) / len(labels)
    return {"w": slope.astype(np.float32)}


def honest(hospital, images, labels, weights):
    learned = train(weights, images, labels)
    return Update(hospital=hospital, examples=len(labels), weights=learned, report={})


def negated(hospital, images, labels, weights):
    learned = train(weights, images, labels)
    against = {name: weights[name] - 20 * (learned[name] - weights[name]) for name in weights}
    return Update(hospital=hospital, examples=len(labels), weights=against, report={})


def flipped(hospital, images, labels, weights):
    """What a hospital learns from false labels, of which it claims to have a great many."""
    learned = train(weights, images, 1 - labels)
    return Update(hospital=hospital, examples=50 * len(labels), weights=learned, report={})


def accuracy(rule, attack=honest):
    shares, (images, labels) = problem()
    weights, state = {"w": np.zeros(20, dtype=np.float32)}, {}
    for _ in range(ROUNDS):
        updates = [
            (attack if number < HOSTILE else honest)(f"hospital_{number:02d}", own, truth, weights)
            for number, (own, truth) in enumerate(shares)
        ]
        weights, state = aggregate(rule, updates, weights, state)
    return float(np.mean((images @ weights["w"] > 0) == labels))


@pytest.mark.parametrize("attack", [negated, flipped])
def test_hostile_hospitals_ruin_the_mean(attack):
    assert accuracy(Rule()) > 0.85
    assert accuracy(Rule(), attack) < 0.5


@pytest.mark.parametrize("attack", [negated, flipped])
@pytest.mark.parametrize("rule", ROBUST, ids=[str(rule.kind) for rule in ROBUST])
def test_robust_rules_learn_beside_hostile_hospitals_as_without(rule, attack):
    unattacked = accuracy(rule)
    assert unattacked > 0.85
    assert accuracy(rule, attack) > unattacked - 0.03


@pytest.mark.parametrize("optimizer", Optimizer)
def test_the_servers_optimizers_learn(optimizer):
    rule = Rule.by_default(Aggregation.FEDOPT, optimizer=optimizer, learning_rate=0.1)
    assert accuracy(rule) > 0.85


def updates_of(seed=0, count=10):
    noise = np.random.default_rng(seed)
    return [
        Update(
            hospital=f"hospital_{number:02d}",
            examples=int(noise.integers(1, 500)),
            weights={"w": noise.normal(size=(4, 3)).astype(np.float32)},
            report={},
        )
        for number in range(count)
    ]


RECEIVED = {"w": np.zeros((4, 3), dtype=np.float32)}


@pytest.mark.parametrize("kind", [Aggregation.FEDAVG, Aggregation.FEDPROX])
def test_fedavg_and_fedprox_average(kind):
    updates = updates_of()
    weights, state = aggregate(Rule.by_default(kind), updates, RECEIVED, {})
    assert weights_digest(weights) == weights_digest(fedavg(updates))
    assert state == {}


@pytest.mark.parametrize("kind", [Aggregation.FEDAVG, Aggregation.FEDPROX, Aggregation.FEDOPT])
def test_rules_that_add_up_take_a_mean_in_place_of_single_updates(kind):
    rule, updates = Rule.by_default(kind), updates_of()
    seen, _ = aggregate(rule, updates, RECEIVED, {})
    masked = [replace(update, examples=1, weights={}) for update in updates]
    hidden, _ = aggregate(rule, masked, RECEIVED, {}, mean=fedavg(updates))
    assert weights_digest(hidden) == weights_digest(seen)


EVERY = [
    *ROBUST,
    Rule(),
    Rule.by_default(Aggregation.FEDPROX),
    *(Rule.by_default(Aggregation.FEDOPT, optimizer=each) for each in Optimizer),
]


@pytest.mark.parametrize("rule", EVERY, ids=[f"{rule.kind} {rule.optimizer}" for rule in EVERY])
def test_every_rule_gives_the_same_bits_in_whatever_order_updates_arrive(rule):
    assert {each.kind for each in EVERY} == set(Aggregation)
    updates = updates_of()
    digests = {
        weights_digest(aggregate(rule, order, RECEIVED, {})[0])
        for order in (updates, updates[::-1], updates[3:] + updates[:3])
    }
    assert len(digests) == 1


@pytest.mark.parametrize("rule", [Rule(), Rule.by_default(Aggregation.FEDOPT)])
def test_numbers_that_are_not_finite_never_become_the_global_model(rule):
    first, *others = updates_of()
    first.weights["w"][0, 0] = np.nan
    with pytest.raises(JobFailed, match=r"The global model diverged.*Lower the learning rate"):
        aggregate(rule, [first, *others], RECEIVED, {})


def test_a_step_out_of_the_finite_numbers_is_refused():
    rule = Rule.by_default(Aggregation.FEDOPT, optimizer=Optimizer.MOMENTUM, learning_rate=100.0)
    far = [
        Update(
            hospital=each.hospital, examples=1, weights={"w": each.weights["w"] * 1e38}, report={}
        )
        for each in updates_of()
    ]
    with np.errstate(over="ignore"), pytest.raises(JobFailed, match="fedopt gives numbers that"):
        aggregate(rule, far, RECEIVED, {})


@pytest.mark.parametrize("rule", ROBUST, ids=[str(rule.kind) for rule in ROBUST])
def test_a_round_with_too_few_updates_is_refused(rule):
    few = partial(aggregate, rule, received=RECEIVED, state={})
    with pytest.raises(QuorumNotMet, match=f"too few for {rule.kind}"):
        few(updates_of(count=rule.least_updates - 1))
    few(updates_of(count=rule.least_updates))
