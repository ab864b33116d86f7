from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from fed_assets.errors import RosterError
from fed_assets.hospital.splits import check_fractions, cut_splits

FRACTIONS = {"train": 0.85, "validation": 0.05, "test": 0.10}


def _unlike(count: int) -> list[bytes]:
    return [str(row).encode() for row in range(count)]


def test_splits_have_their_fractions_in_every_label() -> None:
    labels = [0] * 400 + [1] * 100
    splits = cut_splits(labels, [None] * 500, _unlike(500), fractions=FRACTIONS, seed=0)
    counts = Counter(zip(labels, splits, strict=True))
    assert [counts[0, split] for split in FRACTIONS] == [340, 20, 40]
    assert [counts[1, split] for split in FRACTIONS] == [85, 5, 10]


def test_the_same_seed_cuts_alike_and_another_differently() -> None:
    one, again, other = (
        cut_splits([0, 1] * 100, [None] * 200, _unlike(200), fractions=FRACTIONS, seed=seed)
        for seed in (0, 0, 1)
    )
    assert one == again != other


@pytest.mark.parametrize("seed", range(6))
def test_no_patient_and_no_copy_of_an_image_is_on_two_sides(seed: int) -> None:
    rng = np.random.default_rng(seed)
    patients = [f"p{n}" if n < 70 else None for n in rng.integers(0, 90, 300)]
    sha256 = [b"%d" % n for n in rng.integers(0, 280, 300)]
    labels = rng.integers(0, 3, 300).tolist()
    splits = cut_splits(labels, patients, sha256, fractions=FRACTIONS, seed=seed)
    for keys in (patients, sha256):
        sides: dict[object, set[str]] = {}
        for key, split in zip(keys, splits, strict=True):
            if key is not None:
                sides.setdefault(key, set()).add(split)
        assert all(len(each) == 1 for each in sides.values())


def test_three_images_of_a_label_are_one_in_each_split() -> None:
    splits = cut_splits([0] * 3, [None] * 3, _unlike(3), fractions=FRACTIONS, seed=0)
    assert sorted(splits) == ["test", "train", "validation"]


def test_two_images_of_a_label_are_both_for_training() -> None:
    splits = cut_splits([0] * 2, [None] * 2, _unlike(2), fractions=FRACTIONS, seed=0)
    assert splits == ["train", "train"]


@pytest.mark.parametrize("seed", range(5))
def test_a_patient_with_most_of_the_images_stays_in_train(seed: int) -> None:
    patients = ["many"] * 90 + [f"p{n}" for n in range(10)]
    splits = cut_splits([0] * 100, patients, _unlike(100), fractions=FRACTIONS, seed=seed)
    assert splits[0] == "train"
    assert Counter(splits)["validation"] == 5
    assert Counter(splits)["test"] == 5


def test_a_split_without_a_fraction_gets_nothing() -> None:
    splits = cut_splits([0] * 50, [None] * 50, _unlike(50), fractions={"test": 0.2}, seed=0)
    assert Counter(splits) == {"train": 40, "test": 10}


@pytest.mark.parametrize(
    "fractions",
    [
        {"train": 0.8, "test": 0.1},
        {"train": 0.0, "validation": 0.5, "test": 0.5},
        {"train": 1.2, "test": -0.2},
        {"train": 0.9, "tset": 0.1},
    ],
)
def test_fractions_that_are_none_are_refused(fractions: dict[str, float]) -> None:
    with pytest.raises(RosterError, match="adding up to 1"):
        check_fractions(fractions)
