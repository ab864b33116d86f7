from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fed_assets.errors import FedAssetsError, NoImages, SourceCorrupt
from fed_assets.hospital.dataset import open_dataset
from fed_assets.hospital.files import Store
from fed_assets.hospital.images import prepare_images
from fed_assets.hospital.manifest import read_manifest
from fed_assets.hospital.store import MANIFEST, current_digest, dataset_folder
from fed_assets_tests.hospital.samples import noise, write_folder, write_npz, write_picture

PERSON = "^(?P<patient>person[A-Za-z]+[0-9]+)_"


def _npz(path: Path, **spec: Any) -> dict[str, Any]:
    return {"kind": "medmnist", "path": str(write_npz(path, **spec))}


def _column(folder: Path, name: str) -> list[Any]:
    store = Store(folder)
    with store.open(dataset_folder(store, current_digest(store)) / MANIFEST) as file:
        return list(read_manifest(file, [name])[name].to_pylist())


def test_real_images_of_the_size_asked_for_are_stored_bit_for_bit(
    real_data: Path, tmp_path: Path
) -> None:
    source = {"kind": "medmnist", "path": str(real_data / "pneumoniamnist.npz")}
    result = prepare_images(
        {"source": source, "only_split": "test", "image_size": 28, "classes": ["normal", "sick"]},
        Store(tmp_path),
    )
    with np.load(real_data / "pneumoniamnist.npz") as npz:
        assert np.array_equal(
            open_dataset(Store(tmp_path), validated=False).images[:, 0], npz["test_images"]
        )
    assert result["counts"]["test"] == {"normal": 234, "sick": 390}
    assert result["images"] == 624
    assert result["patients"] is None
    assert result["synthetic"] is False


def test_ten_hospitals_share_out_the_real_pool_without_rest(
    real_data: Path, tmp_path: Path
) -> None:
    source = {"kind": "medmnist", "path": str(real_data / "pneumoniamnist.npz")}
    ids: list[str] = []
    for index in range(10):
        share = {"index": index, "of": 10, "how": "dirichlet", "alpha": 0.5, "seed": 0}
        store = tmp_path / str(index)
        result = prepare_images({"source": source, "share": share, "image_size": 28}, Store(store))
        ids += _column(store, "image_id")
        assert result["images"] >= 40
        for split in ("train", "validation", "test"):
            assert min(result["counts"][split].values()) >= 1
        # Two copies of an image in one hospital are on one side, or validation would exclude it.
        sides: dict[str, set[str]] = {}
        for sha256, split in zip(_column(store, "sha256"), _column(store, "split"), strict=True):
            sides.setdefault(sha256, set()).add(split)
        assert all(len(each) == 1 for each in sides.values())
    assert len(ids) == len(set(ids)) == 4708 + 524
    assert not any(each.startswith("test") for each in ids)


def test_the_same_bytes_have_the_same_digest_and_one_changed_image_another(tmp_path: Path) -> None:
    root = write_folder(tmp_path / "images")
    arguments = {"source": {"kind": "folder", "path": str(root)}, "image_size": 20}
    one = prepare_images(arguments, Store(tmp_path / "one"))
    again = prepare_images(arguments, Store(tmp_path / "again"))
    assert one["digest"] == again["digest"]
    write_picture(next((root / "train" / "NORMAL").iterdir()), noise((20, 20), seed=999))
    assert prepare_images(arguments, Store(tmp_path / "one"))["digest"] != one["digest"]
    assert len(list((tmp_path / "one" / "datasets").iterdir())) == 2


def test_a_hospitals_own_splits_are_kept(tmp_path: Path) -> None:
    result = prepare_images(
        {"source": _npz(tmp_path / "a.npz"), "image_size": 12}, Store(tmp_path / "s")
    )
    sums = {split: sum(counts.values()) for split, counts in result["counts"].items()}
    assert sums == {"train": 60, "validation": 12, "test": 20}


def test_a_missing_split_is_cut_from_train_alone(tmp_path: Path) -> None:
    source = _npz(tmp_path / "a.npz", train=200, val_images=None, val_labels=None)
    result = prepare_images({"source": source, "image_size": 12}, Store(tmp_path / "s"))
    sums = {split: sum(counts.values()) for split, counts in result["counts"].items()}
    assert sums == {"train": 190, "validation": 10, "test": 20}


def test_patients_are_counted_and_stay_on_one_side(tmp_path: Path) -> None:
    root = write_folder(tmp_path / "images", splits=(), images=40)
    source = {"kind": "folder", "path": str(root), "patient_pattern": PERSON}
    result = prepare_images({"source": source, "image_size": 20}, Store(tmp_path / "s"))
    assert result["patients"] == 40
    sides: dict[str, set[str]] = {}
    patients, splits = _column(tmp_path / "s", "patient"), _column(tmp_path / "s", "split")
    for patient, split in zip(patients, splits, strict=True):
        sides.setdefault(patient, set()).add(split)
    assert all(len(each) == 1 for each in sides.values())
    assert set(splits) == {"train", "validation", "test"}


def test_an_unreadable_image_is_a_row_of_zeros_that_nobody_learns_from(tmp_path: Path) -> None:
    root = write_folder(tmp_path / "images")
    (root / "train" / "NORMAL" / "person0_0.png").write_bytes(b"no picture")
    source = {"kind": "folder", "path": str(root)}
    result = prepare_images({"source": source, "image_size": 20}, Store(tmp_path / "s"))
    dataset = open_dataset(Store(tmp_path / "s"), validated=False)
    assert result["unreadable"] == 1
    (row,) = np.flatnonzero(~dataset.readable)
    assert not dataset.images[row].any()
    assert row not in dataset.split("train")
    assert "person" not in repr(result)


def test_a_label_outside_the_classes_is_counted_and_nobody_learns_it(tmp_path: Path) -> None:
    source = _npz(tmp_path / "a.npz", classes=3)
    arguments = {"source": source, "image_size": 12, "classes": ["zero", "one"]}
    result = prepare_images(arguments, Store(tmp_path / "s"))
    dataset = open_dataset(Store(tmp_path / "s"), validated=False)
    assert result["unknown_labels"] == int((dataset.labels == -1).sum()) == 20 + 4 + 6
    assert len(dataset.split("train")) == 40


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("size", [8, 33])
def test_colour_and_size_are_what_the_source_and_the_roster_say(
    tmp_path: Path, channels: int, size: int
) -> None:
    side = (12, 16) if channels == 1 else (12, 16, 3)
    arguments = {"source": _npz(tmp_path / "a.npz", side=side), "image_size": size}
    assert prepare_images(arguments, Store(tmp_path / "s"))["channels"] == channels
    assert open_dataset(Store(tmp_path / "s"), validated=False).images.shape == (
        92,
        channels,
        size,
        size,
    )


def test_synthetic_images_say_so_in_the_result_and_in_the_store(tmp_path: Path) -> None:
    source = {"kind": "phantom", "images": 30, "test_images": 10}
    assert (
        prepare_images({"source": source, "image_size": 28}, Store(tmp_path))["synthetic"] is True
    )
    assert open_dataset(Store(tmp_path), validated=False).synthetic is True


def _content(store: Path) -> str:
    digest = hashlib.sha256()
    for path in sorted(store.rglob("*")):
        digest.update(str(path).encode() + (path.read_bytes() if path.is_file() else b""))
    return digest.hexdigest()


@pytest.mark.parametrize(
    ("changed", "error"),
    [
        ({"source": {"kind": "medmnist", "path": "/nowhere.npz"}}, "SourceMissing"),
        ({"image_size": 0}, "RosterError"),
        ({"image_size": "28"}, "RosterError"),
        ({"image_size": 10**7}, "StorageError"),
        ({"split_fractions": {"train": 2.0}}, "RosterError"),
        ({"share": {"index": 3, "of": 3}}, "RosterError"),
        ({"only_split": "tset"}, "RosterError"),
        ({"classes": ["a", "a"]}, "RosterError"),
    ],
)
def test_an_error_leaves_the_store_as_it_was(
    tmp_path: Path, changed: dict[str, Any], error: str
) -> None:
    arguments = {"source": _npz(tmp_path / "a.npz"), "image_size": 12}
    prepare_images(arguments, Store(tmp_path / "s"))
    before = _content(tmp_path / "s")
    with pytest.raises(FedAssetsError) as raised:
        prepare_images(arguments | changed, Store(tmp_path / "s"))
    assert type(raised.value).__name__ == error
    assert _content(tmp_path / "s") == before


def test_a_source_that_breaks_off_leaves_the_store_as_it_was(tmp_path: Path) -> None:
    arguments = {"source": _npz(tmp_path / "a.npz", train=2000), "image_size": 12}
    prepare_images(arguments, Store(tmp_path / "s"))
    before = _content(tmp_path / "s")
    raw = bytearray((tmp_path / "a.npz").read_bytes())
    raw[5000] ^= 0xFF
    (tmp_path / "a.npz").write_bytes(raw)
    with pytest.raises(SourceCorrupt):
        prepare_images(arguments, Store(tmp_path / "s"))
    assert _content(tmp_path / "s") == before


def test_a_set_without_a_test_split_has_no_common_test_set(tmp_path: Path) -> None:
    source = _npz(tmp_path / "a.npz", test_images=None, test_labels=None)
    with pytest.raises(NoImages, match="0 images in its test"):
        prepare_images(
            {"source": source, "only_split": "test", "image_size": 12}, Store(tmp_path / "s")
        )


def test_a_hospital_with_test_images_alone_cannot_train(tmp_path: Path) -> None:
    absent = {f"{each}_{what}": None for each in ("train", "val") for what in ("images", "labels")}
    with pytest.raises(NoImages, match="no image to train on"):
        prepare_images(
            {"source": _npz(tmp_path / "a.npz", **absent), "image_size": 12}, Store(tmp_path)
        )
