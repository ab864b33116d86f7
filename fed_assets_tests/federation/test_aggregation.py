"""The algebra that FedAvg must keep, on random updates."""

from __future__ import annotations

import numpy as np
import pytest

from fed_assets.federation.aggregation import Update, fedavg
from fed_assets.privacy.digests import weights_digest

SEEDS = range(20)


def updates_of(seed, count=5):
    noise = np.random.default_rng(seed)
    scale = 10.0 ** noise.integers(-6, 6)
    return [
        Update(
            hospital=f"hospital_{number:02d}",
            examples=int(noise.integers(1, 5000)),
            weights={
                "layer.weight": (scale * noise.normal(size=(3, 4))).astype(np.float32),
                "layer.steps": np.array(noise.integers(0, 1000), dtype=np.int64),
            },
            report={},
        )
        for number in range(count)
    ]


@pytest.mark.parametrize("seed", SEEDS)
def test_fedavg_of_one_hospital_is_that_hospital(seed):
    (only,) = updates_of(seed, count=1)
    assert weights_digest(fedavg([only])) == weights_digest(only.weights)


@pytest.mark.parametrize("seed", SEEDS)
def test_fedavg_of_equal_updates_is_that_update(seed):
    first, *others = updates_of(seed)
    same = [first] + [
        Update(hospital=each.hospital, examples=each.examples, weights=first.weights, report={})
        for each in others
    ]
    averaged = fedavg(same)
    np.testing.assert_allclose(averaged["layer.weight"], first.weights["layer.weight"], rtol=2e-7)
    assert averaged["layer.steps"] == first.weights["layer.steps"]


@pytest.mark.parametrize("seed", SEEDS)
def test_fedavg_does_not_depend_on_the_order_of_arrival(seed):
    updates = updates_of(seed)
    shuffled = list(np.random.default_rng(seed).permutation(np.array(updates, dtype=object)))
    assert weights_digest(fedavg(shuffled)) == weights_digest(fedavg(updates))


@pytest.mark.parametrize("seed", SEEDS)
def test_fedavg_lies_between_the_smallest_and_the_largest_update(seed):
    updates = updates_of(seed)
    stacked = np.stack([update.weights["layer.weight"] for update in updates])
    averaged = fedavg(updates)["layer.weight"]
    margin = 1e-6 * np.abs(stacked).max()
    assert (averaged >= stacked.min(axis=0) - margin).all()
    assert (averaged <= stacked.max(axis=0) + margin).all()


@pytest.mark.parametrize("seed", SEEDS)
def test_a_hospital_with_twice_the_examples_counts_as_two(seed):
    first, second, *_ = updates_of(seed)
    twice = Update(hospital="a", examples=2, weights=first.weights, report={})
    once = Update(hospital="b", examples=1, weights=first.weights, report={})
    again = Update(hospital="c", examples=1, weights=first.weights, report={})
    other = Update(hospital="d", examples=1, weights=second.weights, report={})
    np.testing.assert_allclose(
        fedavg([twice, other])["layer.weight"],
        fedavg([once, again, other])["layer.weight"],
        rtol=1e-5,
    )


def test_fedavg_keeps_names_shapes_and_dtypes():
    updates = updates_of(0)
    averaged = fedavg(updates)
    for name, array in updates[0].weights.items():
        assert isinstance(averaged[name], np.ndarray)
        assert (averaged[name].shape, averaged[name].dtype) == (array.shape, array.dtype)


def test_fedavg_is_the_weighted_mean():
    low = Update(hospital="a", examples=1, weights={"w": np.float32([0.0])}, report={})
    high = Update(hospital="b", examples=3, weights={"w": np.float32([4.0])}, report={})
    assert fedavg([low, high])["w"] == np.float32([3.0])


def test_fedavg_of_no_update_is_refused():
    with pytest.raises(ValueError, match="no update"):
        fedavg([])


def test_an_update_never_prints_its_weights():
    assert "weights" not in repr(updates_of(0)[0])
