"""Updates scaled down to a norm, against the formula written out."""

from __future__ import annotations

import numpy as np
import pytest

from fed_assets.errors import RunConfigError
from fed_assets.privacy.clipping import (
    clip_update,
    excess,
    learned_of,
    statistics_of,
    update_norm,
)
from fed_assets.privacy.digests import weights_digest

SEEDS = range(10)
LEARNED = ("layer.weight", "layer.bias")
STATISTICS = ("norm.running_mean", "norm.running_var")


def weights_of(noise, scale=1.0, dtype=np.float32):
    return {
        "layer.weight": (scale * noise.normal(size=(30, 40))).astype(dtype),
        "layer.bias": (scale * noise.normal(size=40)).astype(dtype),
        "norm.running_mean": (scale * noise.normal(size=40)).astype(dtype),
        "norm.running_var": (scale * noise.random(40)).astype(dtype),
        "norm.num_batches_tracked": np.array(noise.integers(0, 1000)),
    }


def clip(weights, received, max_norm, max_statistics_norm=None):
    statistics = max_norm if max_statistics_norm is None else max_statistics_norm
    return clip_update(weights, received, max_norm=max_norm, max_statistics_norm=statistics)


def exceeds(weights, received, max_norm, max_statistics_norm=None):
    statistics = max_norm if max_statistics_norm is None else max_statistics_norm
    return excess(weights, received, max_norm=max_norm, max_statistics_norm=statistics)


def flat(weights, received, names):
    differences = [weights[name].astype(np.float64) - received[name] for name in names]
    return np.concatenate([each.ravel() for each in differences])


@pytest.mark.parametrize("seed", SEEDS)
def test_each_part_of_a_large_update_keeps_its_direction_and_gets_its_norm(seed):
    noise = np.random.default_rng(seed)
    received, weights = weights_of(noise), weights_of(noise, scale=3.0)
    clipped = clip(weights, received, 2.0, 0.5)
    assert clipped.scaled
    for names, most in ((LEARNED, 2.0), (STATISTICS, 0.5)):
        before = flat(weights, received, names)
        after = flat(clipped.weights, received, names)
        np.testing.assert_allclose(after, before * most / np.linalg.norm(before), atol=1e-6)
    assert exceeds(clipped.weights, received, 2.0, 0.5) is None
    assert exceeds(clipped.weights, received, 1.99, 0.5) == "max_norm=1.99"
    assert exceeds(clipped.weights, received, 2.0, 0.49) == "max_statistics_norm=0.49"
    assert exceeds(weights, received, 2.0) == "max_norm=2"


def test_only_the_part_that_is_too_large_is_scaled():
    noise = np.random.default_rng(0)
    received, weights = weights_of(noise), weights_of(noise)
    clipped = clip(weights, received, 1e9, 0.1)
    assert clipped.scaled
    for name in LEARNED:
        np.testing.assert_array_equal(clipped.weights[name], weights[name])
    assert update_norm(clipped.weights, statistics_of(received)) == pytest.approx(0.1, rel=1e-5)


@pytest.mark.parametrize("seed", SEEDS)
def test_an_update_within_its_bounds_keeps_every_bit(seed):
    noise = np.random.default_rng(seed)
    received, weights = weights_of(noise), weights_of(noise)
    norm = np.linalg.norm(flat(weights, received, LEARNED))
    assert update_norm(weights, learned_of(received)) == pytest.approx(norm, rel=1e-12)
    most = update_norm(weights, received)
    clipped = clip(weights, received, most)
    assert not clipped.scaled
    assert weights_digest(clipped.weights) == weights_digest(weights)
    assert exceeds(weights, received, most) is None


def test_an_update_of_zeros_stays_as_it_is():
    weights = weights_of(np.random.default_rng(0))
    clipped = clip(weights, weights, 1e-9)
    assert not clipped.scaled
    assert weights_digest(clipped.weights) == weights_digest(weights)


def test_a_running_variance_stays_above_zero_and_counters_are_sent_as_they_are():
    noise = np.random.default_rng(0)
    received, weights = weights_of(noise), weights_of(noise, scale=1000.0)
    clipped = clip(weights, received, 1e-3).weights
    assert (clipped["norm.running_var"] > 0).all()
    assert clipped["norm.num_batches_tracked"] == weights["norm.num_batches_tracked"]
    assert {n: (a.shape, a.dtype) for n, a in clipped.items()} == {
        n: (a.shape, a.dtype) for n, a in weights.items()
    }


@pytest.mark.parametrize("name", [*LEARNED, *STATISTICS])
def test_no_array_is_a_way_around_the_bounds(name):
    received = weights_of(np.random.default_rng(0))
    weights = {**received, name: received[name] + 100}
    assert exceeds(weights, received, 5.0) is not None
    assert clip(weights, received, 5.0).scaled


@pytest.mark.parametrize("name", [*LEARNED, *STATISTICS])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_an_update_that_is_not_finite_is_refused(name, value):
    received = weights_of(np.random.default_rng(0))
    weights = {each: array.copy() for each, array in received.items()}
    weights[name].flat[3] = value
    with pytest.raises(RunConfigError, match="Training diverged: the update holds numbers"):
        clip(weights, received, 5.0)
    assert exceeds(weights, received, 1e30) is not None


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("scale", [1e-2, 1.0, 100.0])
def test_rounding_never_takes_an_honest_update_over_its_bounds(dtype, scale):
    for seed in SEEDS:
        noise = np.random.default_rng(seed)
        received = weights_of(noise, scale, dtype)
        weights = weights_of(noise, 2 * scale, dtype)
        for most in (scale * 1e-3, scale, scale * 20):
            assert exceeds(clip(weights, received, most).weights, received, most) is None


def test_a_network_without_statistics_has_one_bound():
    noise = np.random.default_rng(0)
    received, weights = ({name: weights_of(noise)[name] for name in LEARNED} for _ in range(2))
    clipped = clip(weights, received, 1.0).weights
    assert update_norm(clipped, received) == pytest.approx(1.0, rel=1e-5)
    assert exceeds(clipped, received, 1.0) is None


def test_clipped_weights_are_not_printed():
    weights = weights_of(np.random.default_rng(0))
    assert "weights" not in repr(clip(weights, weights, 1.0))
