"""Robust rules: against their definitions written out, and against hostile hospitals."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest

from fed_assets.errors import QuorumNotMet
from fed_assets.federation import robust
from fed_assets.federation.aggregation import Update, fedavg
from fed_assets.federation.parked import ParkedWeights
from fed_assets.federation.robust import (
    multi_krum,
    require_enough,
    squared_distances,
    trimmed_mean,
    truncated,
    weighted_median,
)
from fed_assets.federation.weights import write_weights
from fed_assets.privacy.digests import weights_digest
from fed_assets.sandboxes.controls import Aggregation
from fed_assets.sandboxes.protection import Rule

SEEDS = range(8)
RULES = {
    "weighted_median": weighted_median,
    "trimmed_mean": lambda updates: trimmed_mean(updates, 2),
    "multi_krum": lambda updates: multi_krum(updates, 2),
}
each_rule = pytest.mark.parametrize("rule", RULES.values(), ids=RULES)


def updates_of(seed, count=9, examples=None):
    noise = np.random.default_rng(seed)
    return [
        Update(
            hospital=f"hospital_{number:02d}",
            examples=int(noise.integers(100, 300)) if examples is None else examples,
            weights={
                "layer.weight": noise.normal(size=(6, 5)).astype(np.float32),
                "layer.bias": noise.normal(size=3).astype(np.float64),
                "layer.scale": np.float32(noise.normal()).reshape(()),
                "layer.steps": np.array(noise.integers(0, 1000), dtype=np.int64),
            },
            report={},
        )
        for number in range(count)
    ]


def coordinates(updates, name):
    """Yields each coordinate's place and values, one per hospital."""
    for place in np.ndindex(updates[0].weights[name].shape):
        yield place, [float(update.weights[name][place]) for update in updates]


def expected_median(values, weights):
    pairs = sorted(zip(values, weights, strict=True))
    passed, half = 0, sum(weights) / 2
    for (value, weight), following in zip(pairs, [*pairs[1:], None], strict=True):
        passed += weight
        if passed == half:
            return (value + following[0]) / 2
        if passed > half:
            return value
    raise AssertionError


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("examples", [None, 7])
def test_the_weighted_median_is_that_of_every_coordinate(seed, examples):
    updates = updates_of(seed, count=8, examples=examples)
    weights = truncated([update.examples for update in updates])
    median = weighted_median(updates)
    for name in ("layer.weight", "layer.bias", "layer.scale"):
        for place, values in coordinates(updates, name):
            assert median[name][place] == pytest.approx(expected_median(values, weights), rel=1e-6)
    counters = [float(update.weights["layer.steps"]) for update in updates]
    assert median["layer.steps"] == np.rint(expected_median(counters, weights))


@pytest.mark.parametrize("seed", SEEDS)
def test_the_trimmed_mean_leaves_out_the_ends_of_every_coordinate(seed):
    updates = updates_of(seed)
    trimmed = trimmed_mean(updates, 2)
    for name in ("layer.weight", "layer.bias", "layer.scale"):
        for place, values in coordinates(updates, name):
            assert trimmed[name][place] == pytest.approx(np.mean(sorted(values)[2:-2]), rel=1e-5)


@pytest.mark.parametrize("seed", SEEDS)
def test_multi_krum_is_the_mean_of_those_that_lie_closest_together(seed):
    updates, tolerated = updates_of(seed), 2
    vectors = [
        np.concatenate(
            [update.weights[f"layer.{part}"].ravel() for part in ("weight", "bias", "scale")]
        ).astype(np.float64)
        for update in updates
    ]
    closest = len(updates) - tolerated - 2
    scores = []
    for index, vector in enumerate(vectors):
        others = [other for at, other in enumerate(vectors) if at != index]
        apart = sorted(np.linalg.norm(vector - other) ** 2 for other in others)
        scores.append(sum(apart[:closest]))
    taken = [updates[index] for index in sorted(np.argsort(scores)[:closest])]
    krum = multi_krum(updates, tolerated)
    for name in ("layer.weight", "layer.bias", "layer.scale"):
        mean = np.mean([update.weights[name] for update in taken], axis=0)
        np.testing.assert_allclose(krum[name], mean, rtol=1e-5, atol=1e-6)
    counters = [update.weights["layer.steps"] for update in taken]
    assert krum["layer.steps"] == np.rint(np.median(counters))


@each_rule
@pytest.mark.parametrize("seed", SEEDS)
def test_the_order_of_arrival_and_the_size_of_the_pieces_change_no_bit(rule, seed, monkeypatch):
    updates = updates_of(seed)
    digest = weights_digest(rule(updates))
    shuffled = list(np.random.default_rng(seed).permutation(np.array(updates, dtype=object)))
    monkeypatch.setattr(robust, "PIECE_BYTES", 8 * 9 * 5)  # one row
    assert weights_digest(rule(shuffled)) == digest


@each_rule
def test_names_shapes_and_types_stay(rule):
    updates = updates_of(0)
    result = rule(updates)
    assert {n: (a.shape, a.dtype) for n, a in result.items()} == {
        n: (a.shape, a.dtype) for n, a in updates[0].weights.items()
    }
    assert all(isinstance(array, np.ndarray) for array in result.values())


@each_rule
def test_equal_updates_are_their_own_aggregate(rule):
    first, *others = updates_of(0)
    same = [replace(each, weights=first.weights) for each in (first, *others)]
    for name, array in rule(same).items():
        np.testing.assert_allclose(array, first.weights[name], rtol=1e-6)


@each_rule
def test_updates_that_lie_on_disk_give_the_same_bits(rule, tmp_path, monkeypatch):
    monkeypatch.setattr(robust, "PIECE_BYTES", 1)
    updates, parked = updates_of(3), []
    for update in updates:
        write_weights(tmp_path / update.hospital, update.weights)
        parked.append(replace(update, weights=ParkedWeights(tmp_path / update.hospital)))
    assert weights_digest(rule(parked)) == weights_digest(rule(updates))


@each_rule
def test_rows_of_large_arrays_are_worked_through_in_pieces(rule, monkeypatch):
    held = []

    def rows_of(weights, name, place):
        held.append(weights[name][place].size)
        return weights[name][place]

    monkeypatch.setattr(robust, "rows_of", rows_of)
    monkeypatch.setattr(robust, "PIECE_BYTES", 8 * 9 * 100)
    noise = np.random.default_rng(0)
    updates = [
        replace(each, weights={"w": noise.normal(size=(64, 50)).astype(np.float32)})
        for each in updates_of(0)
    ]
    rule(updates)
    assert max(held) == 100


@each_rule
@pytest.mark.parametrize("value", [-1e30, 1e30, 3e38])
def test_two_of_nine_hostile_hospitals_move_nothing_far(rule, value):
    honest = updates_of(1, count=7)
    hostile = [
        replace(
            each,
            hospital=f"a_{at}",  # first in the order
            examples=10**9,
            weights={
                name: np.full_like(array, value if array.dtype != np.int64 else 2**60)
                for name, array in each.weights.items()
            },
        )
        for at, each in enumerate(honest[:2])
    ]
    result = rule([*honest, *hostile])
    for name in result:
        values = [update.weights[name] for update in honest]
        assert (result[name] >= np.min(values, axis=0)).all()
        assert (result[name] <= np.max(values, axis=0)).all()
    ruined = fedavg([*honest, *hostile])["layer.weight"]  # the control
    assert np.abs(ruined).min() > 1e20


def test_distances_between_the_honest_survive_a_huge_update():
    honest = updates_of(2, count=4)
    huge = replace(
        honest[0],
        hospital="a",
        weights={
            name: array if array.dtype == np.int64 else (array * 1e30).astype(array.dtype)
            for name, array in honest[0].weights.items()
        },
    )
    apart = squared_distances([huge, *honest])
    np.testing.assert_array_equal(apart[1:, 1:], squared_distances(honest))
    assert apart[0, 1:].min() > 1e50
    assert (apart == apart.T).all()


@pytest.mark.parametrize("count", range(3, 25))
def test_the_heaviest_fifth_never_holds_more_than_a_third(count):
    noise = np.random.default_rng(count)
    for spread in (1, 10, 10**9, 10**30):
        claimed = [int(1 + spread * noise.random()) for _ in range(count)]
        cut = truncated(claimed)
        heaviest = sorted(cut)[-((count + 4) // 5) :]
        assert 3 * sum(heaviest) <= sum(cut)
        assert all(1 <= each <= most for each, most in zip(cut, claimed, strict=True))


def test_examples_that_are_alike_are_not_cut_off():
    assert truncated([90, 100, 110, 95, 105] * 2) == [90, 100, 110, 95, 105] * 2


NEEDS = [
    (Rule.by_default(Aggregation.WEIGHTED_MEDIAN), 3),
    (Rule(kind=Aggregation.TRIMMED_MEAN, tolerated=2), 5),
    (Rule(kind=Aggregation.MULTI_KRUM, tolerated=2), 7),
    (Rule(), 1),
]


@pytest.mark.parametrize(("rule", "needed"), NEEDS, ids=[str(rule.kind) for rule, _ in NEEDS])
def test_too_few_participants_are_refused_with_what_is_needed(rule, needed):
    updates = updates_of(0)
    require_enough(rule, updates[:needed])
    with pytest.raises(QuorumNotMet, match=rf"{needed - 1} updates are too few for {rule.kind}"):
        require_enough(rule, updates[: needed - 1])


def test_of_equally_close_updates_the_first_ids_are_taken():
    points = [0.0, 1.0, 2.0, 3.0, 4.0]  # 1 and 3 are alike for krum, and 2 is closest
    updates = [
        Update(hospital=f"h{at}", examples=1, weights={"w": np.float32([x])}, report={})
        for at, x in enumerate(points)
    ]
    for order in itertools.islice(itertools.permutations(updates), 0, 120, 7):
        assert multi_krum(list(order), 1)["w"] == np.float32([1.5])
