from __future__ import annotations

import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fed_assets.errors import ChecksumMismatch, NoImages, SourceCorrupt, SourceMissing
from fed_assets.hospital.sources.medmnist import open_medmnist
from fed_assets_tests.hospital.samples import noise, write_npz

PNEUMONIA_MD5 = "28209eda62fecd6e6a2d98b1501bb15f"


def test_the_official_file_has_its_official_counts(real_data: Path) -> None:
    source = open_medmnist(
        real_data / "pneumoniamnist.npz", classes=("normal", "pneumonia"), md5=PNEUMONIA_MD5
    )
    records = source.records()
    counts = {
        split: [
            sum(record.split == split and record.label == label for record in records)
            for label in (0, 1)
        ]
        for split in ("train", "validation", "test")
    }
    assert counts == {"train": [1214, 3494], "validation": [135, 389], "test": [234, 390]}
    assert (source.channels, source.synthetic) == (1, False)


def test_images_come_out_as_they_went_in_whichever_are_asked_for(tmp_path: Path) -> None:
    images = noise((30, 9, 7))
    labels = np.zeros((30, 1), np.uint8)
    path = write_npz(tmp_path / "a.npz", side=(9, 7), train_images=images, train_labels=labels)
    source = open_medmnist(path)
    records = [record for record in source.records() if record.split == "train"][3::5]
    decoded = list(source.read(records))
    assert [each.position for each in records] == [3, 8, 13, 18, 23, 28]
    for record, each in zip(records, decoded, strict=True):
        assert np.array_equal(each.pixels, images[record.position])
        assert (each.width, each.height, each.bit_depth) == (7, 9, 8)


def test_colour_and_five_classes_are_read_from_the_file(tmp_path: Path) -> None:
    source = open_medmnist(write_npz(tmp_path / "a.npz", side=(12, 12, 3), classes=5))
    assert source.channels == 3
    assert source.classes == ("0", "1", "2", "3", "4")
    assert next(iter(source.read(source.records()))).pixels.shape == (12, 12, 3)


def test_a_label_outside_the_declared_classes_is_unknown(tmp_path: Path) -> None:
    source = open_medmnist(write_npz(tmp_path / "a.npz", classes=3), classes=("sick", "well"))
    labels = [record.label for record in source.records()]
    assert set(labels) == {0, 1, -1}


def test_a_label_out_of_range_is_refused_unless_the_classes_are_named(tmp_path: Path) -> None:
    labels = np.array([[0], [1]] * 30)
    labels[7] = 200
    path = write_npz(tmp_path / "a.npz", val=0, test=0, train_labels=labels)
    with pytest.raises(SourceCorrupt, match=r"not 0, 1, 2.*0, 1, 200.*data\.classes"):
        open_medmnist(path)
    source = open_medmnist(path, classes=("well", "ill"))
    assert [record.label for record in source.records()].count(-1) == 1


def test_a_file_with_train_alone_is_enough(tmp_path: Path) -> None:
    absent = {f"{split}_{what}": None for split in ("val", "test") for what in ("images", "labels")}
    source = open_medmnist(write_npz(tmp_path / "a.npz", **absent))
    assert {record.split for record in source.records()} == {"train"}


def test_memory_does_not_grow_with_the_file(tmp_path: Path) -> None:
    images = np.zeros((8000, 64, 64), np.uint8)
    labels = np.zeros((8000, 1), np.uint8)
    path = write_npz(tmp_path / "a.npz", train_images=images, train_labels=labels, side=(64, 64))
    source = open_medmnist(path)
    records = source.records()
    tracemalloc.start()
    try:
        assert sum(1 for _ in source.read(records)) == len(records)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < images.nbytes / 16


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(SourceMissing, match=r"nowhere\.npz.*To mend it"):
        open_medmnist(tmp_path / "nowhere.npz")


def test_another_md5_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ChecksumMismatch, match="in place of 0000"):
        open_medmnist(write_npz(tmp_path / "a.npz"), md5="0000")


@pytest.mark.parametrize("kept", [0, 1, 200, 0.5, 0.99])
def test_a_truncated_file_is_corrupt(tmp_path: Path, kept: float) -> None:
    path = write_npz(tmp_path / "a.npz")
    raw = path.read_bytes()
    path.write_bytes(raw[: int(kept * len(raw)) if isinstance(kept, float) else kept])
    with pytest.raises(SourceCorrupt, match="cannot be read as an npz"):
        open_medmnist(path)


def test_a_flipped_byte_among_the_images_is_noticed_while_reading(tmp_path: Path) -> None:
    path = write_npz(tmp_path / "a.npz", train=2000)
    raw = bytearray(path.read_bytes())
    raw[5000] ^= 0xFF
    path.write_bytes(raw)
    source = open_medmnist(path)
    with pytest.raises(SourceCorrupt):
        list(source.read(source.records()))


@pytest.mark.parametrize(
    ("replaced", "seen"),
    [
        ({"train_labels": None}, "train has images or labels, but not both"),
        ({"train_labels": np.zeros((59, 1), np.uint8)}, "60 images and 59 labels"),
        (
            {"train_labels": np.zeros((60, 14), np.uint8)},
            r"train_labels is uint8 of shape \(60, 14",
        ),
        ({"train_labels": np.zeros((60, 1), np.float64)}, "train_labels is float64"),
        ({"train_images": np.zeros((60, 4, 4, 4), np.uint8)}, r"shape \(60, 4, 4, 4\)"),
        ({"train_images": np.zeros((60, 12, 12), np.float32)}, "train_images is float32"),
        ({"train_images": np.zeros((60, 12, 12, 3), np.uint8)}, "gray images in one split"),
        ({"train_images": np.array([{}] * 60)}, "never unpickled"),
        ({"train_images": np.asfortranarray(noise((60, 12, 12)))}, "stored by column"),
    ],
)
def test_arrays_of_another_kind_are_refused(
    tmp_path: Path, replaced: dict[str, Any], seen: str
) -> None:
    with pytest.raises(SourceCorrupt, match=seen):
        open_medmnist(write_npz(tmp_path / "a.npz", **replaced))


def test_other_keys_are_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", x=np.zeros(3), y=np.zeros(3))
    with pytest.raises(SourceCorrupt, match="2 arrays, none named train_images"):
        open_medmnist(tmp_path / "a.npz")


def test_a_file_without_an_image_is_refused(tmp_path: Path) -> None:
    with pytest.raises(NoImages):
        open_medmnist(write_npz(tmp_path / "a.npz", train=0, val=0, test=0))
