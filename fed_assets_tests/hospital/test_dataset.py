from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from fed_assets.errors import NoImages, NotValidated, StorageError
from fed_assets.hospital.dataset import open_dataset
from fed_assets.hospital.files import Store
from fed_assets.hospital.images import prepare_images
from fed_assets.hospital.store import dataset_folder, set_validated
from fed_assets_tests.hospital.samples import write_npz


def _prepare(path: Path, store: Path, **spec: object) -> str:
    source = {"kind": "medmnist", "path": str(write_npz(path, **spec))}
    return str(prepare_images({"source": source, "image_size": 12}, Store(store))["digest"])


def test_images_that_nothing_validated_are_not_opened_for_learning(tmp_path: Path) -> None:
    digest = _prepare(tmp_path / "a.npz", tmp_path / "s")
    with pytest.raises(NotValidated, match="validated_images"):
        open_dataset(Store(tmp_path / "s"))
    set_validated(Store(tmp_path / "s"), digest)
    assert open_dataset(Store(tmp_path / "s")).digest == digest


def test_images_that_changed_after_validation_are_not_opened(tmp_path: Path) -> None:
    digest = _prepare(tmp_path / "a.npz", tmp_path / "s")
    set_validated(Store(tmp_path / "s"), digest)
    _prepare(tmp_path / "b.npz", tmp_path / "s", train=61)
    with pytest.raises(NotValidated):
        open_dataset(Store(tmp_path / "s"))


def test_a_hospital_whose_images_were_never_prepared_says_so(tmp_path: Path) -> None:
    with pytest.raises(NoImages):
        open_dataset(Store(tmp_path))


def test_the_tensor_file_is_mapped_and_the_splits_are_its_rows(tmp_path: Path) -> None:
    _prepare(tmp_path / "a.npz", tmp_path / "s")
    dataset = open_dataset(Store(tmp_path / "s"), validated=False)
    assert isinstance(dataset.images, np.memmap)
    assert dataset.images.shape == (92, 1, 12, 12)
    rows = [dataset.split(name) for name in ("train", "validation", "test")]
    assert [len(each) for each in rows] == [60, 12, 20]
    assert sorted(np.concatenate(rows).tolist()) == list(range(92))
    assert dataset.labels.dtype == np.int64


def test_its_repr_shows_no_pixel_and_no_label(tmp_path: Path) -> None:
    _prepare(tmp_path / "a.npz", tmp_path / "s")
    assert "array" not in repr(open_dataset(Store(tmp_path / "s"), validated=False))


@pytest.mark.parametrize("name", ["images.npy", "manifest.parquet", "dataset.json"])
def test_a_file_that_is_missing_is_told_of_with_its_cure(tmp_path: Path, name: str) -> None:
    source = tmp_path / "a.npz"
    digest = _prepare(source, tmp_path / "store")
    store = Store(tmp_path / "store")
    open_dataset(store, validated=False)  # the positive control
    (dataset_folder(store, digest) / name).unlink()
    with pytest.raises(StorageError, match=r"cannot be read.*No such file.*again"):
        open_dataset(store, validated=False)
    _prepare(source, tmp_path / "store")
    open_dataset(store, validated=False)
