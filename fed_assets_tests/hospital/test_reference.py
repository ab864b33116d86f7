from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fed_assets.errors import DisclosureRefused, NoImages, RunConfigError
from fed_assets.hospital.dataset import open_dataset
from fed_assets.hospital.files import Store
from fed_assets.hospital.network import initial_weights
from fed_assets.hospital.reference import open_references, train_reference, training_images
from fed_assets.sandboxes.presets import REFERENCE, SANDBOX_NAMES
from fed_assets_tests.hospital.test_evaluation import a_validated_store
from fed_assets_tests.networks import SMALL_RESNET


def a_reference(folder: Path, *stores: Path) -> dict[str, Any]:
    initial, weights = folder / "initial.safetensors", folder / "weights.safetensors"
    shape = {"network": SMALL_RESNET, "channels": 1, "classes": 2}
    initial_weights({**shape, "seed": 0, "path": initial}, Store(folder))
    return {
        "name": "pooled",
        "stores": [str(each) for each in stores],
        "network": SMALL_RESNET,
        "recipe": {"batch_size": 16},
        "rounds": 1,
        "seed": 0,
        "initial": initial,
        "weights": weights,
    }


@pytest.fixture
def stores(tmp_path: Path) -> list[Path]:
    """Returns two hospitals' stores of open images."""
    folders = []
    for name in ("north", "south"):
        (tmp_path / name).mkdir()
        place = a_validated_store(tmp_path / name).folder
        folders.append(place.rename(place.with_name(REFERENCE)))
    return folders


def test_all_training_images_are_pooled_and_no_others(stores: list[Path]) -> None:
    datasets = [open_dataset(Store(each)) for each in stores]
    images, labels = training_images(datasets)
    rows = [each.split("train") for each in datasets]
    assert len(images) == len(labels) == sum(map(len, rows))
    np.testing.assert_array_equal(images[: len(rows[0])], datasets[0].images[rows[0]])
    np.testing.assert_array_equal(labels[len(rows[0]) :], datasets[1].labels[rows[1]])


def test_a_reference_of_one_learns_what_its_images_say(tmp_path: Path, stores: list[Path]) -> None:
    first = train_reference(a_reference(tmp_path, stores[0]), Store(stores[0]))
    again = train_reference(a_reference(tmp_path, stores[0]), Store(stores[0]))
    both = train_reference(a_reference(tmp_path, *stores), Store(stores[0]))
    assert first["digest"] == again["digest"] != both["digest"]
    assert both["images"] == 2 * first["images"]
    assert first["loss"] > 0


@pytest.mark.parametrize("sandbox", SANDBOX_NAMES)
def test_no_store_of_a_sandbox_is_pooled(tmp_path: Path, stores: list[Path], sandbox: str) -> None:
    protected = stores[1].rename(stores[1].with_name(sandbox))
    with pytest.raises(DisclosureRefused, match="open data alone"):
        train_reference(a_reference(tmp_path, stores[0], protected), Store(stores[0]))
    with pytest.raises(DisclosureRefused):
        train_reference(a_reference(tmp_path, stores[0]), Store(protected))


def test_images_of_different_kinds_or_none_at_all_are_refused(
    tmp_path: Path, stores: list[Path]
) -> None:
    (tmp_path / "west").mkdir()
    third = a_validated_store(tmp_path / "west", classes=3).folder
    third = third.rename(third.with_name(REFERENCE))
    with pytest.raises(RunConfigError, match="different kinds"):
        open_references(Store(stores[0]), [*stores, third])
    dataset = open_dataset(Store(stores[0]))
    with pytest.raises(NoImages):
        training_images([replace(dataset, splits=np.full(len(dataset.splits), "test"))])
