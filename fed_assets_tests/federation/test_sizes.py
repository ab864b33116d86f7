"""That every update of an honest hospital has room, and not one twice as large."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from fed_assets.federation.sizes import MESSAGE_BYTES, most_update_bytes
from fed_assets.federation.weights import LARGE_BYTES, read_weights, write_weights
from fed_assets.privacy.encrypted_sums import encrypted, new_key, read_context
from fed_assets.privacy.encryption_terms import MOST_PARAMETERS, ciphertext_name, ciphertexts_for
from fed_assets.privacy.fixed_point import encoded
from fed_assets_tests.federation.conftest import BOUNDS

SHAPE = (100, 200)


def small_and_many(plan):
    """Replaces a plan's weights by arrays whose names take more room than they do."""
    rng = np.random.default_rng(0)
    names = [f"a_block_of_a_network.{number}.norm.running_mean" for number in range(300)]
    weights = {name: rng.normal(size=3).astype(np.float16) for name in names}
    write_weights(Path(plan.initial_weights), weights)


def file_of(update, folder):
    path = folder / "update.safetensors"
    write_weights(path, update)
    return path.stat().st_size


def masked(weights):
    unchanged = {name: np.zeros(array.shape) for name, array in weights.items()}
    return encoded(unchanged, 0.5, weights, BOUNDS)


@pytest.mark.parametrize("change", [lambda plan: None, small_and_many])
def test_an_update_has_room_and_one_twice_as_large_has_none(tmp_path, write_plan, change):
    plan = write_plan(tmp_path, shape=SHAPE)
    change(plan)
    update, most = read_weights(Path(plan.initial_weights)), most_update_bytes(plan)
    assert file_of(update, tmp_path) <= most
    twice = {name: np.concatenate([np.atleast_1d(array)] * 2) for name, array in update.items()}
    more = {f"other.{name}": array for name, array in update.items()}
    assert file_of({**twice, **more}, tmp_path) > most


@pytest.mark.parametrize("change", [lambda plan: None, small_and_many])
def test_a_masked_update_has_room_and_one_twice_as_large_has_none(
    tmp_path, write_masked_plan, change
):
    plan = write_masked_plan(tmp_path, shape=SHAPE)
    change(plan)
    update, most = masked(read_weights(Path(plan.initial_weights))), most_update_bytes(plan)
    assert file_of(update, tmp_path) <= most
    assert (
        file_of({**update, **{f"2.{name}": each for name, each in update.items()}}, tmp_path) > most
    )


def test_an_encrypted_update_has_room_and_one_three_times_as_large_has_none(
    tmp_path, write_encrypted_plan
):
    plan = write_encrypted_plan(tmp_path, shape=SHAPE)
    numbers = np.full(SHAPE[0] * SHAPE[1] + 2, 2**39)
    ciphertexts = encrypted(read_context(new_key(), secret=True), numbers)

    def update(times):
        return {
            ciphertext_name(index): np.frombuffer(each, np.uint8)
            for index, each in enumerate(ciphertexts * times)
        }

    most = most_update_bytes(plan)
    assert file_of(update(1), tmp_path) <= most < file_of(update(3), tmp_path)


def test_whatever_travels_in_a_message_has_room_in_it(tmp_path, write_encrypted_plan):
    assert 4 * LARGE_BYTES < MESSAGE_BYTES / 1.5
    elements = MOST_PARAMETERS - 1
    plan = write_encrypted_plan(tmp_path, shape=(1, elements))
    assert ciphertexts_for(elements + 2) == 123
    assert most_update_bytes(plan) < MESSAGE_BYTES / 1.5
