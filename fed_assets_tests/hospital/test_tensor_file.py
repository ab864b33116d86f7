from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fed_assets.errors import SealBroken
from fed_assets.hospital.envelope import HEADER_BYTES
from fed_assets.hospital.files import Store
from fed_assets.hospital.tensor_file import open_images
from fed_assets_tests.hospital.keys import a_sealed_store
from fed_assets_tests.hospital.samples import noise

# 200 images of 1,083 bytes: most chunks begin in the middle of one.
PIXELS = noise((200, 3, 19, 19))


def written(store: Store, array: Any = PIXELS) -> Path:
    path = store.folder / "images.npy"
    with store.create(path) as file:
        np.save(file, array)
    return path


@pytest.mark.parametrize(
    "rows",
    [
        0,
        -1,
        np.int64(77),
        slice(3, 9),
        slice(None, None, 50),
        [5, 5, 199, 0],
        np.random.default_rng(0).permutation(200),
        np.arange(200) % 7 == 0,
        np.array([], np.int64),
        np.arange(6).reshape(2, 3),
    ],
)
def test_rows_are_those_of_the_plain_file(tmp_path: Path, rows: Any) -> None:
    store = a_sealed_store(tmp_path)
    images = open_images(store, written(store))
    assert images.shape == PIXELS.shape
    assert np.array_equal(images[rows], PIXELS[rows])
    assert images[rows].dtype == np.uint8
    assert images[rows].shape == PIXELS[rows].shape


@pytest.mark.parametrize("rows", [200, -201, [0, 200]])
def test_a_row_that_is_not_there_is_an_index_error(tmp_path: Path, rows: Any) -> None:
    store = a_sealed_store(tmp_path)
    with pytest.raises(IndexError):
        open_images(store, written(store))[rows]


def test_a_plain_file_is_mapped(tmp_path: Path) -> None:
    assert isinstance(open_images(Store(tmp_path), written(Store(tmp_path))), np.memmap)


def test_a_batch_with_a_changed_pixel_is_refused_and_others_are_not(tmp_path: Path) -> None:
    store = a_sealed_store(tmp_path)
    path = written(store)
    raw = bytearray(path.read_bytes())
    raw[HEADER_BYTES + 70_000] ^= 1  # in the second chunk
    path.write_bytes(raw)
    images = open_images(store, path)
    assert np.array_equal(images[:50], PIXELS[:50])
    with pytest.raises(SealBroken, match=r"Where: images\.npy.*chunk 2 of 4"):
        images[[3, 70]]


@pytest.mark.parametrize("content", [b"", b"no tensor", b"\x93NUMPY\x01\x00"])
def test_a_sealed_file_that_holds_no_images_is_refused(tmp_path: Path, content: bytes) -> None:
    store = a_sealed_store(tmp_path)
    store.write(store.folder / "images.npy", content)
    with pytest.raises(SealBroken, match="holds no images"):
        open_images(store, store.folder / "images.npy")


def test_images_of_another_kind_are_refused(tmp_path: Path) -> None:
    store = a_sealed_store(tmp_path)
    path = written(store, PIXELS.astype(np.float32))
    with pytest.raises(SealBroken, match="holds no images"):
        open_images(store, path)
