"""Updates of large models wait on disk, and come to the same bits."""

from __future__ import annotations

import numpy as np
import pytest

from fed_assets.federation.aggregation import Update, fedavg
from fed_assets.federation.parked import ParkedWeights, clear, parked
from fed_assets.federation.weights import LARGE_BYTES
from fed_assets.privacy.digests import weights_digest


def update(hospital, side, examples=3):
    noise = np.random.default_rng([side, *hospital.encode()])
    weights = {
        "layer.weight": noise.normal(size=(side, side)).astype(np.float32),
        "layer.steps": np.array(examples, dtype=np.int64),
    }
    return Update(hospital=hospital, examples=examples, weights=weights, report={"loss": 1.0})


LARGE_SIDE = int((LARGE_BYTES / 4) ** 0.5) + 1


def test_a_large_update_lies_on_disk_as_it_came(tmp_path):
    large = update("north", LARGE_SIDE)
    waiting = parked(large, tmp_path / "parked")
    assert isinstance(waiting.weights, ParkedWeights)
    assert list(waiting.weights) == list(large.weights)
    assert weights_digest(waiting.weights) == weights_digest(large.weights)
    assert (waiting.hospital, waiting.examples, waiting.report) == ("north", 3, {"loss": 1.0})
    with pytest.raises(KeyError):
        waiting.weights["no such layer"]


def test_a_small_update_stays_in_memory(tmp_path):
    small = update("north", 8)
    assert parked(small, tmp_path / "parked") is small
    assert list(tmp_path.iterdir()) == []


def test_the_mean_is_the_same_from_disk_and_from_memory(tmp_path):
    updates = [update("north", LARGE_SIDE, 3), update("south", LARGE_SIDE, 11)]
    waiting = [parked(each, tmp_path / "parked") for each in updates]
    assert weights_digest(fedavg(waiting)) == weights_digest(fedavg(updates))


def test_on_a_full_disk_an_update_stays_in_memory_and_nothing_half_written_is_left(small_disk):
    folder = small_disk("4m")
    large = update("north", LARGE_SIDE)
    assert parked(large, folder / "parked") is large
    assert list((folder / "parked").iterdir()) == []


def test_clearing_removes_all_and_may_be_done_twice(tmp_path):
    parked(update("north", LARGE_SIDE), tmp_path / "parked")
    clear(tmp_path / "parked")
    clear(tmp_path / "parked")
    assert list(tmp_path.iterdir()) == []
