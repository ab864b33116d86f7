"""Updates scaled down to a norm, against the formula written out."""

from __future__ import annotations

import numpy as np
import pytest

from fed_assets.errors import RunConfigError
from fed_assets.privacy.clipping import clip_update, is_within, update_norm
from fed_assets.privacy.digests import weights_digest

SEEDS = range(10)


def weights_of(noise, scale=1.0, dtype=np.float32):
    return {
        "layer.weight": (scale * noise.normal(size=(30, 40))).astype(dtype),
        "norm.running_var": (scale * noise.random(40)).astype(dtype),
        "norm.num_batches_tracked": np.array(noise.integers(0, 1000)),
    }


def flat(weights, received):
    names = ("layer.weight", "norm.running_var")
    differences = [weights[name].astype(np.float64) - received[name] for name in names]
    return np.concatenate([each.ravel() for each in differences])


@pytest.mark.parametrize("seed", SEEDS)
def test_a_large_update_keeps_its_direction_and_gets_the_norm(seed):
    noise = np.random.default_rng(seed)
    received, weights = weights_of(noise), weights_of(noise, scale=3.0)
    before = flat(weights, received)
    assert update_norm(weights, received) == pytest.approx(np.linalg.norm(before), rel=1e-12)
    clipped = clip_update(weights, received, 2.0)
    after = flat(clipped.weights, received)
    assert clipped.scaled
    np.testing.assert_allclose(after, before * 2.0 / np.linalg.norm(before), atol=1e-6)
    assert is_within(clipped.weights, received, 2.0)
    assert not is_within(clipped.weights, received, 1.99)
    assert not is_within(weights, received, 2.0)


@pytest.mark.parametrize("seed", SEEDS)
def test_an_update_within_the_bound_keeps_every_bit(seed):
    noise = np.random.default_rng(seed)
    received, weights = weights_of(noise), weights_of(noise)
    bound = update_norm(weights, received)
    clipped = clip_update(weights, received, bound)
    assert not clipped.scaled
    assert weights_digest(clipped.weights) == weights_digest(weights)
    assert is_within(weights, received, bound)


def test_an_update_of_zeros_stays_as_it_is():
    weights = weights_of(np.random.default_rng(0))
    clipped = clip_update(weights, weights, 1e-9)
    assert not clipped.scaled
    assert weights_digest(clipped.weights) == weights_digest(weights)


def test_a_running_variance_stays_above_zero_and_counters_are_sent_as_they_are():
    noise = np.random.default_rng(0)
    received, weights = weights_of(noise), weights_of(noise, scale=1000.0)
    clipped = clip_update(weights, received, 1e-3).weights
    assert (clipped["norm.running_var"] > 0).all()
    assert clipped["norm.num_batches_tracked"] == weights["norm.num_batches_tracked"]
    assert {n: (a.shape, a.dtype) for n, a in clipped.items()} == {
        n: (a.shape, a.dtype) for n, a in weights.items()
    }


def test_a_running_statistic_is_no_way_around_the_bound():
    received = weights_of(np.random.default_rng(0))
    weights = {**received, "norm.running_var": received["norm.running_var"] + 100}
    assert not is_within(weights, received, 5.0)
    assert clip_update(weights, received, 5.0).scaled


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_an_update_that_is_not_finite_is_refused(value):
    received = weights_of(np.random.default_rng(0))
    weights = {name: array.copy() for name, array in received.items()}
    weights["layer.weight"][3, 4] = value
    with pytest.raises(RunConfigError, match="Training diverged: the update holds numbers"):
        clip_update(weights, received, 5.0)
    assert not is_within(weights, received, 1e30)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("scale", [1e-2, 1.0, 100.0])
def test_rounding_never_takes_an_honest_update_over_the_bound(dtype, scale):
    for seed in SEEDS:
        noise = np.random.default_rng(seed)
        received = weights_of(noise, scale, dtype)
        weights = weights_of(noise, 2 * scale, dtype)
        for max_norm in (scale * 1e-3, scale, scale * 20):
            clipped = clip_update(weights, received, max_norm).weights
            assert is_within(clipped, received, max_norm)


def test_clipped_weights_are_not_printed():
    weights = weights_of(np.random.default_rng(0))
    assert "weights" not in repr(clip_update(weights, weights, 1.0))
