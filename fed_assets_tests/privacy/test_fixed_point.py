from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from fed_assets.errors import JobFailed, RunConfigError
from fed_assets.federation.aggregation import Update, fedavg
from fed_assets.privacy import encrypted_sums
from fed_assets.privacy.clipping import learned_of, statistics_of
from fed_assets.privacy.encryption_terms import MOST_IMAGES
from fed_assets.privacy.fixed_point import (
    MOST_CHANGE,
    ROOM,
    WEIGHT,
    by_name,
    changes,
    decoded,
    encoded,
    in_a_row,
    in_steps,
    in_words,
    mean_of,
    rounded_up,
)

MAX_NORM = 5.0
BOUNDS = {"max_norm": MAX_NORM, "max_statistics_norm": MAX_NORM}
RNG = np.random.default_rng(0)
RECEIVED = {
    "layer.weight": RNG.normal(size=(16, 8)).astype(np.float32),
    "norm.running_var": np.abs(RNG.normal(size=16)).astype(np.float32),
    "norm.num_batches_tracked": np.array(12_345, np.int64),
    "half": RNG.normal(size=5).astype(np.float16),
    "empty": np.zeros((0, 3), np.float32),
}


def trained(seed: int, *, norm: float = 0.5 * MAX_NORM, steps: int = 12) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    noise = {name: rng.normal(size=array.shape) for name, array in RECEIVED.items()}
    floats = [name for name in RECEIVED if name != "norm.num_batches_tracked"]
    length = np.sqrt(sum((noise[name] ** 2).sum() for name in floats))
    local = {
        name: (RECEIVED[name] + noise[name] * norm / length).astype(RECEIVED[name].dtype)
        for name in floats
    }
    local["norm.num_batches_tracked"] = RECEIVED["norm.num_batches_tracked"] + np.int64(steps)
    return {name: np.asarray(local[name]) for name in RECEIVED}


def words_of(local: dict[str, Any], share: float) -> dict[str, Any]:
    return encoded(changes(local, RECEIVED, BOUNDS), share, RECEIVED, BOUNDS)


def mean_of_words(
    locals_: list[dict[str, Any]], examples: list[int], denominator: int
) -> dict[str, Any]:
    total: dict[str, Any] = {}
    for local, count in zip(locals_, examples, strict=True):
        for name, words in words_of(local, count / denominator).items():
            total[name] = words + total.get(name, np.zeros((), np.uint32))
    return decoded(total, RECEIVED, BOUNDS)


@pytest.mark.parametrize("counts", [[48, 48, 48], [1, 2, 3], [10, 388, 5000, 7, 64], [200_000, 3]])
def test_the_sum_gives_the_mean_weighted_by_examples(counts: list[int]) -> None:
    locals_ = [trained(seed, steps=3 * seed + 1) for seed in range(len(counts))]
    mean = mean_of_words(locals_, counts, sum(rounded_up(count) for count in counts))
    plain = fedavg(
        [
            Update(hospital=str(at), examples=count, weights=local, report={})
            for at, (local, count) in enumerate(zip(locals_, counts, strict=True))
        ]
    )
    for name, array in RECEIVED.items():
        assert (mean[name].dtype, mean[name].shape) == (array.dtype, array.shape)
        # A float16 keeps three digits, and rounds in the other direction by less than that.
        worst = 2e-3 if array.dtype == np.float16 else 1e-5 * (array.dtype != np.int64)
        assert np.abs(mean[name].astype(float) - plain[name].astype(float)).max(initial=0) <= worst


@pytest.mark.parametrize("counts", [[1, 1, 1], [48, 48, 48], [10, 388, 5000], [MOST_IMAGES - 1, 1]])
def test_whole_numbers_that_are_added_encrypted_give_the_same_mean(counts: list[int]) -> None:
    locals_ = [trained(seed, steps=3 * seed + 1) for seed in range(len(counts))]
    rows = [
        in_a_row(
            in_steps(
                changes(local, RECEIVED, BOUNDS),
                count / MOST_IMAGES,
                RECEIVED,
                BOUNDS,
                encrypted_sums.ROOM,
            )
        )
        for local, count in zip(locals_, counts, strict=True)
    ]
    total = by_name(np.sum(rows, axis=0), in_words(RECEIVED))
    assert np.abs(in_a_row(total)).max() <= encrypted_sums.ROOM
    assert total[WEIGHT] == sum(counts) * encrypted_sums.ROOM // MOST_IMAGES
    mean = mean_of(total, RECEIVED, BOUNDS, encrypted_sums.ROOM)
    plain = fedavg(
        [
            Update(hospital=str(at), examples=count, weights=local, report={})
            for at, (local, count) in enumerate(zip(locals_, counts, strict=True))
        ]
    )
    for name, array in RECEIVED.items():
        assert (mean[name].dtype, mean[name].shape) == (array.dtype, array.shape)
        worst = 2e-3 if array.dtype == np.float16 else 1e-5 * (array.dtype != np.int64)
        assert np.abs(mean[name].astype(float) - plain[name].astype(float)).max(initial=0) <= worst


def test_more_images_than_there_is_room_for_are_found_out() -> None:
    steps = in_steps(
        changes(trained(0), RECEIVED, BOUNDS), 1.0, RECEIVED, BOUNDS, encrypted_sums.ROOM
    )
    twice = {name: 2 * array for name, array in steps.items()}
    with pytest.raises(JobFailed, match="a sum of weights of 2"):
        mean_of(twice, RECEIVED, BOUNDS, encrypted_sums.ROOM)


def test_the_bound_of_the_error_holds_for_many_hospitals_of_which_few_answer() -> None:
    # As exact as float64 is: what is encoded must not have been rounded to float32 before.
    names, hospitals, answering = ["x"], 40, 21
    received = {"x": np.zeros(1000)}
    locals_ = [
        {"x": np.random.default_rng(seed).normal(size=1000) / 10} for seed in range(answering)
    ]
    share = 1 / hospitals
    total = {name: np.zeros(received[name].shape, np.uint32) for name in names}
    total[WEIGHT] = np.zeros(1, np.uint32)
    for local in locals_:
        for name, words in encoded(
            changes(local, received, BOUNDS), share, received, BOUNDS
        ).items():
            total[name] += words
    mean = decoded(total, received, BOUNDS)["x"]
    bound = answering * MAX_NORM / (ROOM * answering * share)
    assert 0 < np.abs(mean - np.mean([local["x"] for local in locals_], axis=0)).max() < bound


def test_an_update_longer_than_the_norm_is_clipped_and_counters_are_not() -> None:
    long = trained(1, norm=20.0)
    changed = changes(long, RECEIVED, BOUNDS)
    for part in (learned_of(RECEIVED), statistics_of(RECEIVED)):
        norm = np.sqrt(sum((changed[name] ** 2).sum() for name in part))
        assert norm == pytest.approx(MAX_NORM)
        for name in part:  # one direction, whatever the type
            moved = long[name].astype(float) - RECEIVED[name]
            length = np.linalg.norm(changed[name])
            assert np.allclose(changed[name] * np.linalg.norm(moved), moved * length)
    assert changed["norm.num_batches_tracked"] == 12


def test_updates_at_the_limit_do_not_wrap_around() -> None:
    # One coordinate has all of the norm, in each hospital with the same sign.
    received = {"x": np.zeros(2, np.float32), "steps": np.zeros((), np.int64)}
    local = {"x": np.array([-50, 0], np.float32), "steps": np.array(MOST_CHANGE)}
    hospitals = 1000
    total = {name: np.zeros(words.shape, np.uint32) for name, words in in_words(received).items()}
    changed = changes(local, received, BOUNDS)
    for _ in range(hospitals):
        for name, words in encoded(changed, 1 / hospitals, received, BOUNDS).items():
            total[name] += words
    mean = decoded(total, received, BOUNDS)
    assert np.allclose(mean["x"], [-MAX_NORM, 0], atol=1e-4)
    assert mean["steps"] == MOST_CHANGE
    # The same with weights of 1 each does wrap, and is found out.
    for name, words in encoded(changed, 1.0, received, BOUNDS).items():
        total[name] += words
    with pytest.raises(JobFailed, match="no sum of updates"):
        decoded(total, received, BOUNDS)


@pytest.mark.parametrize("share", [0.0, -0.5, 1.01, float("nan"), float("inf")])
def test_a_weight_that_could_wrap_around_is_refused(share: float) -> None:
    with pytest.raises(RunConfigError, match="a weight of"):
        words_of(trained(0), share)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_change_that_is_not_finite_is_refused(bad: float) -> None:
    local = trained(0)
    local["layer.weight"][0, 0] = bad
    with pytest.raises(RunConfigError, match="not finite"):
        words_of(local, 0.5)


def test_a_change_beyond_the_range_is_refused() -> None:
    with pytest.raises(RunConfigError, match="a change above 65536"):
        words_of(trained(0, steps=MOST_CHANGE + 1), 0.5)
    unclipped = changes(trained(0, norm=90.0), RECEIVED, dict.fromkeys(BOUNDS, 100.0))
    with pytest.raises(RunConfigError, match="a change above 5"):
        encoded(unclipped, 0.5, RECEIVED, BOUNDS)


def test_a_sum_with_a_mask_left_in_it_is_refused() -> None:
    total = words_of(trained(0), 0.75)
    mask = np.random.default_rng(0)
    for name, words in total.items():
        spoiled = {**total, name: words + mask.integers(0, 2**32, words.shape, np.uint32)}
        if name in ("layer.weight", "norm.running_var"):
            with pytest.raises(JobFailed, match="no sum of updates"):
                decoded(spoiled, RECEIVED, BOUNDS)
    nothing = {**total, WEIGHT: np.zeros(1, np.uint32)}
    with pytest.raises(JobFailed, match="a sum of weights of 0"):
        decoded(nothing, RECEIVED, BOUNDS)


def test_the_form_of_words_is_that_of_what_is_encoded() -> None:
    words, form = words_of(trained(0), 0.5), in_words(RECEIVED)
    assert {name: (each.shape, each.dtype) for name, each in words.items()} == {
        name: (each.shape, each.dtype) for name, each in form.items()
    }


@pytest.mark.parametrize(("examples", "power"), [(1, 1), (2, 2), (3, 4), (64, 64), (65, 128)])
def test_a_count_is_told_as_the_next_power_of_two(examples: int, power: int) -> None:
    assert rounded_up(examples) == power


def test_running_statistics_are_clipped_by_a_bound_of_their_own():
    received = {"bn.weight": np.zeros(1, "f4"), "bn.running_var": np.zeros(1, "f4")}
    local = {"bn.weight": np.full(1, 3.0, "f4"), "bn.running_var": np.full(1, 40.0, "f4")}
    bounds = {"max_norm": 5.0, "max_statistics_norm": 30.0}
    changed = changes(local, received, bounds)
    assert (changed["bn.weight"][0], changed["bn.running_var"][0]) == (3.0, pytest.approx(30.0))
    mean = decoded(encoded(changed, 1.0, received, bounds), received, bounds)
    assert mean["bn.weight"][0] == pytest.approx(3.0)
    assert mean["bn.running_var"][0] == pytest.approx(30.0)
