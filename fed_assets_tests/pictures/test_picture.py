from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fed_assets.pictures.dicom import read_dicom
from fed_assets.pictures.picture import read_picture
from fed_assets_tests.hospital.samples import noise, png_of_declared_size, write_dicom


def png(pixels: np.ndarray) -> bytes:
    held = io.BytesIO()
    Image.fromarray(pixels).save(held, "PNG")
    return held.getvalue()


def test_a_png_gives_its_own_pixels() -> None:
    pixels = noise((9, 7))
    picture = read_picture(png(pixels))
    assert np.array_equal(picture.pixels, pixels)
    assert (picture.width, picture.height, picture.bit_depth, picture.oversized) == (7, 9, 8, False)


@pytest.mark.parametrize("side", [9_000, 20_000, 60_000])
def test_a_bomb_is_refused_by_its_header_and_says_so(side: int) -> None:
    picture = read_picture(png_of_declared_size(side, side))
    assert picture.pixels is None
    assert picture.oversized


@pytest.mark.parametrize("cut", [0, 8, 40])
def test_a_truncated_file_is_unreadable_and_not_oversized(cut: int) -> None:
    for read in (read_picture, read_dicom):
        picture = read(png(noise((9, 9)))[:cut])
        assert picture.pixels is None
        assert not picture.oversized


def test_a_dicom_of_too_many_pixels_is_not_decoded(tmp_path: Path) -> None:
    raw = write_dicom(tmp_path / "a.dcm", noise((4, 4)), Rows=20_000, Columns=20_000).read_bytes()
    picture = read_dicom(raw)
    assert picture.pixels is None
    assert picture.oversized


def test_a_dicom_gives_pixels_of_eight_bits(tmp_path: Path) -> None:
    raw = write_dicom(tmp_path / "a.dcm", np.arange(16, dtype=np.uint16).reshape(4, 4)).read_bytes()
    picture = read_dicom(raw)
    assert picture.pixels.dtype == np.uint8
    assert (picture.pixels.min(), picture.pixels.max()) == (0, 255)
