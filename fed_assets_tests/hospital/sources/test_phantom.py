from __future__ import annotations

import numpy as np
import pytest

from fed_assets.errors import RosterError
from fed_assets.hospital.sources.phantom import open_phantom


def _pixels(**spec: object) -> tuple[np.ndarray, np.ndarray]:
    source = open_phantom(dict(spec))
    records = source.records()
    images = np.stack([each.pixels for each in source.read(records)])
    return images, np.array([record.label for record in records])


def test_the_same_seed_gives_the_same_images_and_another_seed_others() -> None:
    one, again = _pixels(images=20, test_images=5), _pixels(images=20, test_images=5)
    other = _pixels(images=20, test_images=5, seed=1)
    assert np.array_equal(one[0], again[0])
    assert np.array_equal(one[1], again[1])
    assert not np.array_equal(one[0], other[0])


def test_an_image_does_not_depend_on_which_others_are_read() -> None:
    source = open_phantom({"images": 20})
    records = source.records()
    (alone,) = source.read(records[7:8])
    together = list(source.read(records[:10]))[7]
    assert np.array_equal(alone.pixels, together.pixels)


@pytest.mark.parametrize("size", [8, 28, 64, 224])
@pytest.mark.parametrize(("channels", "shape"), [(1, ()), (3, (3,))])
def test_sizes_and_channels_are_as_asked(size: int, channels: int, shape: tuple[int, ...]) -> None:
    images, _ = _pixels(images=3, test_images=1, size=size, channels=channels)
    assert images.shape == (4, size, size, *shape)
    assert images.std(axis=(1, 2)).min() > 5
    assert len(np.unique(images.reshape(4, -1), axis=0)) == 4


def test_it_says_that_it_is_synthetic_and_how_its_classes_are_called() -> None:
    assert open_phantom({}).synthetic
    assert open_phantom({}).classes == ("normal", "opacity_1")
    assert open_phantom({"classes": 4}).classes[-1] == "opacity_3"
    assert open_phantom({}, classes=("well", "ill")).classes == ("well", "ill")


def test_a_patient_has_one_label_and_is_on_one_side_of_the_test_split() -> None:
    records = open_phantom({"images": 500, "test_images": 100}).records()
    labels: dict[str | None, set[int]] = {}
    splits: dict[str | None, set[str]] = {}
    for record in records:
        labels.setdefault(record.patient, set()).add(record.label)
        splits.setdefault(record.patient, set()).add(record.split)
    assert all(len(each) == 1 for each in (*labels.values(), *splits.values()))
    assert len(labels) < len(records)


@pytest.mark.parametrize("classes", [2, 3])
def test_the_classes_can_be_learnt_but_not_by_a_straight_line(classes: int) -> None:
    from sklearn.linear_model import RidgeClassifier
    from sklearn.metrics import balanced_accuracy_score

    images, labels = _pixels(images=900, test_images=300, classes=classes)
    pixels = images.reshape(len(images), -1) / 255.0
    model = RidgeClassifier(alpha=30.0, class_weight="balanced").fit(pixels[:900], labels[:900])
    balanced_accuracy = balanced_accuracy_score(labels[900:], model.predict(pixels[900:]))
    assert 1 / classes + 0.08 < balanced_accuracy < 0.95


@pytest.mark.parametrize(
    ("spec", "where"),
    [
        ({"images": 0}, "source.images"),
        ({"size": 5}, "source.size"),
        ({"size": "28"}, "source.size"),
        ({"channels": 2}, "source.channels"),
        ({"classes": 1}, "source.classes"),
    ],
)
def test_numbers_out_of_range_are_refused_by_name(spec: dict[str, object], where: str) -> None:
    with pytest.raises(RosterError, match=where):
        open_phantom(spec)


def test_names_for_another_number_of_classes_are_refused() -> None:
    with pytest.raises(RosterError, match="3 classes, 2 names"):
        open_phantom({"classes": 3}, classes=("a", "b"))
