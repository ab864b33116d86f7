"""Updates on disk come to the same bits as those in memory."""

from __future__ import annotations

import numpy as np
import pytest

from fed_assets.federation.aggregation import Update, fedavg
from fed_assets.federation.parked import ParkedWeights
from fed_assets.federation.weights import write_weights
from fed_assets.privacy.digests import weights_digest


def update(hospital, examples):
    noise = np.random.default_rng([*hospital.encode()])
    weights = {
        "layer.weight": noise.normal(size=(40, 30)).astype(np.float32),
        "layer.steps": np.array(examples, dtype=np.int64),
    }
    return Update(hospital=hospital, examples=examples, weights=weights, report={})


def parked(update, folder):
    path = folder / update.hospital
    write_weights(path, update.weights)
    return Update(
        hospital=update.hospital, examples=update.examples, weights=ParkedWeights(path), report={}
    )


def test_parked_weights_are_those_of_the_file(tmp_path):
    north = update("north", 3)
    waiting = parked(north, tmp_path).weights
    assert set(waiting) == set(north.weights)
    assert len(waiting) == 2
    assert weights_digest(waiting) == weights_digest(north.weights)
    with pytest.raises(KeyError):
        waiting["no such layer"]


def test_the_mean_is_the_same_from_disk_and_from_memory(tmp_path):
    updates = [update("north", 3), update("south", 11)]
    waiting = [parked(each, tmp_path) for each in updates]
    assert weights_digest(fedavg(waiting)) == weights_digest(fedavg(updates))
