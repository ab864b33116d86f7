from __future__ import annotations

import io
import struct
import tracemalloc
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pydicom
import pytest
from PIL import Image
from pydicom.encaps import encapsulate
from pydicom.uid import JPEG2000Lossless, JPEGBaseline8Bit

from fed_assets.pictures.dicom import read_dicom
from fed_assets.pictures.picture import MAX_SCANS, Picture, picture_size, read_picture
from fed_assets_tests.hospital.samples import (
    noise,
    png_of_declared_size,
    write_dicom,
    write_inflating_dicom,
)


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


def chunk(kind: bytes, body: bytes) -> bytes:
    checksum = struct.pack(">I", zlib.crc32(kind + body))
    return struct.pack(">I", len(body)) + kind + body + checksum


@pytest.mark.parametrize(
    ("kind", "head"), [(b"iCCP", b"a\0\0"), (b"zTXt", b"a\0\0"), (b"iTXt", b"a\0\1\0\0\0")]
)
def test_what_does_not_shape_a_pngs_pixels_is_not_inflated(kind: bytes, head: bytes) -> None:
    pixels = noise((9, 7))
    plain = png(pixels)
    bomb = chunk(kind, head + zlib.compress(bytes(2**26), 9))
    picture, peak = peak_of(lambda: read_picture(plain[:33] + bomb * 3 + plain[33:]))
    assert np.array_equal(picture.pixels, pixels)
    assert peak < 2**21


def test_a_second_header_of_a_png_promises_nothing() -> None:
    pixels = noise((9, 7))
    plain = png(pixels)
    raw = plain[:33] + png_of_declared_size(8_000, 8_000)[8:33] + plain[33:]
    assert picture_size(raw) == (7, 9)
    assert np.array_equal(read_picture(raw).pixels, pixels)


def jpeg(pixels: np.ndarray, kind: str = "JPEG") -> bytes:
    held = io.BytesIO()
    Image.fromarray(pixels).save(held, kind, **({"progressive": True} if kind == "JPEG" else {}))
    return held.getvalue()


def with_scans(raw: bytes, more: int) -> bytes:
    """A progressive JPEG whose last scan comes again."""
    last = raw[raw.rindex(b"\xff\xda") : -2]
    return raw[:-2] + last * more + raw[-2:]


def test_a_jpeg_of_many_scans_is_not_decoded() -> None:
    plain = jpeg(np.full((64, 64), 7, np.uint8))
    assert read_picture(with_scans(plain, 20)).pixels is not None
    picture = read_picture(with_scans(plain, MAX_SCANS))
    assert picture.pixels is None
    assert "100 scans at the most, and this one has 10" in picture.fault


@pytest.mark.parametrize(
    ("syntax", "kind"), [(JPEGBaseline8Bit, "JPEG"), (JPEG2000Lossless, "JPEG2000")]
)
def test_a_picture_inside_a_dicom_file_has_the_size_that_the_file_says(
    tmp_path: Path, syntax: str, kind: str
) -> None:
    small, large = np.full((16, 16), 7, np.uint8), np.zeros((4_000, 4_000), np.uint8)

    def enclosing(enclosed: bytes) -> bytes:
        path = write_dicom(tmp_path / "a.dcm", small)
        dataset = pydicom.dcmread(path)
        dataset.file_meta.TransferSyntaxUID = syntax
        dataset.PixelData = encapsulate([enclosed])
        dataset["PixelData"].is_undefined_length = True
        dataset.save_as(path, enforce_file_format=True)
        return path.read_bytes()

    assert read_dicom(enclosing(jpeg(small, kind))).pixels is not None
    picture = read_dicom(enclosing(jpeg(large, kind)[:60_000]))
    assert picture.pixels is None
    assert picture.fault == (
        "The picture inside the DICOM file has another size than its Rows and Columns say."
    )
    if kind == "JPEG":
        assert "100 scans" in read_dicom(enclosing(with_scans(jpeg(small), MAX_SCANS))).fault


@pytest.mark.parametrize("after", [False, True])
def test_what_a_deflated_file_inflates_to_is_never_in_memory(tmp_path: Path, after: bool) -> None:
    raw = write_inflating_dicom(
        tmp_path / "a.dcm", noise((16, 16)), 2**26, after=after
    ).read_bytes()
    picture, peak = peak_of(lambda: read_dicom(raw))
    if after:  # and what comes behind the pixels is not asked for
        assert picture.pixels is not None
    else:
        assert (picture.oversized, picture.fault) == (
            True,
            "The tags before the pixels of a DICOM file may have 4 MiB, and those of this one have "
            "more.",
        )
    assert peak < 2**25


def test_more_pixel_data_than_pixels_is_not_inflated(tmp_path: Path) -> None:
    raw = write_dicom(
        tmp_path / "a.dcm",
        noise((16, 16)),
        syntax=pydicom.uid.DeflatedExplicitVRLittleEndian,
        PixelData=bytes(2**26),
    ).read_bytes()
    picture, peak = peak_of(lambda: read_dicom(raw))
    assert picture.oversized
    assert "of this size may have 66,048 bytes" in picture.fault
    assert peak < 2**25


def test_a_file_of_very_many_tags_is_not_read_to_their_end(tmp_path: Path) -> None:
    raw = write_dicom(tmp_path / "a.dcm", noise((16, 16))).read_bytes()
    empty = struct.pack("<HH2sH", 0x0029, 0x0010, b"LO", 0)
    at = raw.index(struct.pack("<HH", 0x7FE0, 0x0010))
    assert read_dicom(raw[:at] + empty * 10 + raw[at:]).pixels is not None
    picture = read_dicom(raw[:at] + empty * 2**19 + raw[at:])
    assert (picture.pixels, picture.oversized) == (None, True)


def peak_of(read: Callable[[], Picture]) -> tuple[Picture, int]:
    """Returns what was read, and the most bytes that Python held meanwhile."""
    tracemalloc.start()
    try:
        return read(), tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
