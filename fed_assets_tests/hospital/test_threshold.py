from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from fed_assets.errors import NotValidated
from fed_assets.hospital.suppression import disclosed
from fed_assets.hospital.threshold import GRID, best_threshold, choose_threshold
from fed_assets_tests.hospital.test_evaluation import a_store, a_validated_store, weights_file
from fed_assets_tests.networks import SMALL_RESNET


def test_the_threshold_is_the_middle_one_of_the_best() -> None:
    labels = np.array([0, 0, 0, 1, 1, 1])
    positive = np.array([0.02, 0.11, 0.31, 0.69, 0.8, 0.97])
    probabilities = np.stack([1 - positive, positive], axis=1)
    assert best_threshold(labels, probabilities) == 0.5
    low = probabilities * [1, 0.25] + [0, 0]
    low[:, 0] = 1 - low[:, 1]
    # Between the largest of the one class, 0.0775, and the least of the other, 0.1725.
    assert best_threshold(labels, low) == 0.119


def test_thresholds_reach_where_noise_shifts_probabilities_to() -> None:
    labels, positive = np.array([0, 0, 1, 1]), np.array([0.96, 0.97, 0.98, 0.985])
    assert best_threshold(labels, np.stack([1 - positive, positive], axis=1)) == 0.971
    assert (GRID[0], GRID[9], GRID[-1]) == (0.011, 0.5, 0.989)


def test_a_hospital_chooses_on_its_validation_images(tmp_path: Path) -> None:
    store = a_validated_store(tmp_path)
    asked = {"weights": str(weights_file(tmp_path)), "network": SMALL_RESNET}
    chosen = choose_threshold(asked, store)
    assert chosen["threshold"] in GRID
    assert chosen["images"] == [6, 6]


def test_three_classes_have_no_threshold(tmp_path: Path) -> None:
    store = a_validated_store(tmp_path, classes=3)
    assert choose_threshold({}, store)["threshold"] is None


def test_images_that_no_validation_let_through_choose_nothing(tmp_path: Path) -> None:
    with pytest.raises(NotValidated):
        choose_threshold({}, a_store(tmp_path))


@pytest.mark.parametrize(
    ("images", "told"), [([6, 40], 0.35), ([3, 3], 0.35), ([2, 40], "suppressed")]
)
def test_where_a_class_has_one_image_or_two_its_threshold_stays(
    images: list[int], told: object
) -> None:
    answer = {"threshold": 0.35, "images": images}
    assert disclosed("choose_threshold", dict(answer), 10) == {
        "threshold": told,
        "images": "suppressed",
    }
    assert disclosed("choose_threshold", dict(answer), 0) == answer
