from __future__ import annotations

import numpy as np
import pytest

from fed_assets.errors import RosterError
from fed_assets.hospital.share import HOW, number_groups, share_out

PNEUMONIA = np.random.default_rng(0).permutation([0] * 1349 + [1] * 3883).tolist()
NOBODY = [None] * len(PNEUMONIA)


def _patients(labels: list[int], seed: int) -> list[str | None]:
    """One to six images a patient, of one label each; some images of nobody known."""
    rng = np.random.default_rng(seed)
    patients: list[str | None] = [None] * len(labels)
    for label in set(labels):
        rows = [row for row, each in enumerate(labels) if each == label]
        while rows:
            many = int(rng.integers(1, 7))
            name = None if rng.random() < 0.2 else f"{label}-{len(rows)}"
            for row in rows[:many]:
                patients[row] = name
            rows = rows[many:]
    return patients


@pytest.mark.parametrize("how", HOW)
@pytest.mark.parametrize("of", [1, 2, 10])
@pytest.mark.parametrize("seed", range(4))
def test_every_image_goes_to_one_hospital_and_each_has_enough(how: str, of: int, seed: int) -> None:
    owner = share_out(PNEUMONIA, NOBODY, of=of, how=how, seed=seed)
    labels = np.asarray(PNEUMONIA)
    assert owner.shape == labels.shape
    assert set(owner.tolist()) == set(range(of))
    assert np.bincount(owner).min() >= 40
    for label in (0, 1):
        assert np.bincount(owner[labels == label], minlength=of).min() >= 5


@pytest.mark.parametrize("how", HOW)
@pytest.mark.parametrize("seed", range(4))
def test_whole_patients_stay_together(how: str, seed: int) -> None:
    labels = PNEUMONIA[:1500]
    patients = _patients(labels, seed)
    owner = share_out(labels, patients, of=5, how=how, seed=seed)
    for patient in {each for each in patients if each is not None}:
        rows = [row for row, each in enumerate(patients) if each == patient]
        assert len(set(owner[rows].tolist())) == 1
    assert np.bincount(owner, minlength=5).min() >= 40


@pytest.mark.parametrize("how", HOW)
def test_the_same_arguments_give_the_same_shares_and_another_seed_others(how: str) -> None:
    one, again, other = (share_out(PNEUMONIA, NOBODY, of=10, how=how, seed=n) for n in (3, 3, 4))
    assert np.array_equal(one, again)
    assert not np.array_equal(one, other)


def test_the_names_of_patients_do_not_matter_only_who_is_who() -> None:
    patients = _patients(PNEUMONIA, 0)
    renamed = [None if each is None else f"pseudonym of {each}" for each in patients]
    shares = [share_out(PNEUMONIA, each, of=4, how="dirichlet") for each in (patients, renamed)]
    assert np.array_equal(*shares)


def _spread(how: str) -> tuple[float, float]:
    owner = share_out(PNEUMONIA, NOBODY, of=10, how=how)
    sizes = np.bincount(owner)
    sick = np.bincount(owner, weights=PNEUMONIA) / sizes
    return float(sizes.std() / sizes.mean()), float(sick.std())


def test_each_way_differs_in_what_it_says_it_differs_in() -> None:
    (_, label_skew), (size_skew, alike) = _spread("dirichlet"), _spread("quantity")
    assert label_skew > 0.1
    assert size_skew > 0.4
    assert alike < 0.05
    assert max(_spread("iid")) < 0.01


def test_eight_classes_one_of_them_rare_can_be_shared() -> None:
    labels = np.random.default_rng(0).choice(8, 3000, p=[0.3, 0.2, 0.2, 0.1, 0.1, 0.05, 0.04, 0.01])
    owner = share_out(labels.tolist(), [None] * 3000, of=10, how="dirichlet")
    assert np.bincount(owner).min() >= 40


def test_a_tiny_pool_asks_less_of_each_share() -> None:
    owner = share_out([0, 1] * 40, [None] * 80, of=10, how="iid")
    assert np.bincount(owner, minlength=10).tolist() == [8] * 10


def test_an_image_of_unknown_label_is_shared_out_too() -> None:
    owner = share_out([0, 1, -1] * 100, [None] * 300, of=3, how="dirichlet")
    assert np.bincount(owner).sum() == 300


def test_one_patient_cannot_be_shared_among_two() -> None:
    with pytest.raises(RosterError, match=r"100 images of 1 patients.*fewer hospitals"):
        share_out([0, 1] * 50, ["the only one"] * 100, of=2, how="iid")


def test_a_skew_that_leaves_somebody_nothing_is_refused() -> None:
    with pytest.raises(RosterError, match="raise `alpha`"):
        share_out([0, 1] * 500, [None] * 1000, of=10, how="dirichlet", alpha=0.001)


@pytest.mark.parametrize(
    ("wrong", "seen"),
    [
        ({"how": "fairly"}, "dirichlet, quantity, iid"),
        ({"of": 0}, "of: 0"),
        ({"alpha": 0}, "alpha"),
    ],
)
def test_arguments_out_of_range_are_refused(wrong: dict[str, object], seen: str) -> None:
    arguments = {"of": 2, "how": "iid"} | wrong
    with pytest.raises(RosterError, match=seen):
        share_out([0, 1] * 50, [None] * 100, **arguments)  # type: ignore[arg-type]


def test_groups_are_numbered_by_first_appearance_and_nobody_is_alone() -> None:
    assert number_groups(["b", None, "a", "b", None]).tolist() == [0, 1, 2, 0, 3]
