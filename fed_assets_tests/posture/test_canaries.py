from __future__ import annotations

import numpy as np
import pytest

from fed_assets.posture.canaries import ARRAY, METRIC, canary, found_in

UPDATE = canary(seed=7, round_number=1)
WEIGHTS = UPDATE[ARRAY].tobytes()
NOISE = bytes(len(WEIGHTS))


def test_each_round_and_each_seed_has_a_canary_of_its_own():
    assert np.array_equal(canary(7, 1)[ARRAY], UPDATE[ARRAY])
    assert not np.array_equal(canary(7, 2)[ARRAY], UPDATE[ARRAY])
    assert not np.array_equal(canary(8, 1)[ARRAY], UPDATE[ARRAY])


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("weights", WEIGHTS),
        ("array_key", ARRAY.encode()),
        ("metric_name", METRIC.encode()),
        ("hospital", b"canary_hospital"),
    ],
)
def test_anything_of_an_update_that_was_heard_is_found(name, content):
    found = found_in(NOISE + content + NOISE, UPDATE, "canary_hospital")
    assert found is not None and found.succeeded
    assert found.counts[name] == 1


def test_nothing_is_found_in_what_holds_nothing():
    found = found_in(NOISE, UPDATE, "canary_hospital")
    assert found is not None and not found.succeeded


def test_who_heard_less_than_an_update_has_no_verdict():
    assert found_in(NOISE[:-1], UPDATE, "canary_hospital") is None
