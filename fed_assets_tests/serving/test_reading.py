"""What the service makes of a file is what training made of it, to the last bit."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from PIL import Image

from fed_assets.hospital.dataset import open_dataset
from fed_assets.hospital.files import Store
from fed_assets.hospital.images import prepare_images
from fed_assets.serving import reading
from fed_assets.serving.reading import DICOM, JPEG, Refusal, as_tensor, pixels_of
from fed_assets_tests.hospital.samples import (
    noise,
    png_of_declared_size,
    write_dicom,
    write_picture,
)
from fed_assets_tests.serving.packages import encoded


@pytest.mark.parametrize("kind", ["png", "jpeg", "dcm"])
def test_a_file_becomes_the_very_tensor_that_training_has(tmp_path: Path, kind: str) -> None:
    folder = tmp_path / "images" / "normal"
    for number in range(6):
        pixels = noise((40, 33), number)
        path = folder / f"{number}.{kind}"
        if kind == "dcm":
            write_dicom(
                path, pixels.astype(np.uint16) * 17, WindowCenter="2000", WindowWidth="3000"
            )
        else:
            write_picture(path, pixels)
    source = {"kind": "dicom" if kind == "dcm" else "folder", "path": str(tmp_path / "images")}
    store = Store(tmp_path / "store")
    prepare_images({"source": source, "image_size": 28}, store)
    trained = open_dataset(store, validated=False).images

    served = [
        as_tensor(path.read_bytes(), channels=1, size=28) for path in sorted(folder.iterdir())
    ]

    assert np.array_equal(np.asarray(trained[:]), np.stack(served))


def test_gray_that_is_stored_as_colour_is_gray() -> None:
    gray = noise((28, 28))
    stored = encoded(np.repeat(gray[:, :, None], 3, axis=2))
    assert np.array_equal(as_tensor(stored, channels=1, size=28)[0], gray)


def test_colour_is_taken_by_a_model_of_colour() -> None:
    colour = noise((28, 28, 3))
    tensor = as_tensor(encoded(colour), channels=3, size=28)
    assert np.array_equal(tensor, colour.transpose(2, 0, 1))


def animated() -> bytes:
    first, *others = (Image.fromarray(noise((28, 28), seed)) for seed in range(3))
    held = io.BytesIO()
    first.save(held, "PNG", save_all=True, append_images=others)
    return held.getvalue()


DICOM_RGB = {"SamplesPerPixel": 3, "PhotometricInterpretation": "RGB", "PlanarConfiguration": 0}


@pytest.mark.parametrize(
    ("pixels", "tags", "said"),
    [
        ((28, 28), {"NumberOfFrames": "2"}, "several frames"),
        ((28, 28, 3), DICOM_RGB, "of colours; MONOCHROME1 and MONOCHROME2"),
        ((28, 28), {"PhotometricInterpretation": "PALETTE COLOR"}, "of colours"),
        ((28, 28), {"PixelData": bytes(100)}, "damaged, or cut off"),
        ((28, 28), {"Rows": 0}, "0 pixels wide or high"),
        ((28, 28), {"Rows": 20_000}, "10,000 pixels a side"),
        ((28, 28), {"WindowCenter": "1", "WindowWidth": "0"}, "WindowWidth has to be 1 or more"),
        (
            (28, 28),
            {"WindowCenter": "1", "WindowWidth": "0", "VOILUTFunction": "SIGMOID"},
            "more than 0 where its VOILUTFunction",
        ),
        ((8, 28), {}, "16 pixels a side at the least, and this one 28 x 8"),
    ],
)
def test_a_dicom_file_that_is_not_taken_says_why(
    tmp_path: Path, pixels: tuple[int, ...], tags: dict[str, Any], said: str
) -> None:
    raw = write_dicom(tmp_path / "a.dcm", noise(pixels), **tags).read_bytes()
    assert said in refusal(raw).reason


def test_a_dicom_file_of_another_encoding_or_without_pixels_says_so(tmp_path: Path) -> None:
    whole = write_dicom(tmp_path / "a.dcm", noise((28, 28))).read_bytes()
    known = b"1.2.840.10008.1.2.1\0"
    assert whole.count(known) == 1
    assert "encoded in a way" in refusal(whole.replace(known, b"1.2.840.10008.1.2.9\0")).reason
    assert "without pixels, or ends" in refusal(whole[:300]).reason


@pytest.mark.parametrize(
    ("name", "kind"), [("FloatPixelData", "f4"), ("DoubleFloatPixelData", "f8")]
)
def test_a_dicom_file_of_floating_point_pixels_says_so(
    tmp_path: Path, name: str, kind: str
) -> None:
    path = write_dicom(tmp_path / "a.dcm", noise((28, 28)))
    dataset = pydicom.dcmread(path)
    del dataset.PixelData
    setattr(dataset, name, noise((28, 28)).astype(kind).tobytes())
    dataset.BitsAllocated = np.dtype(kind).itemsize * 8
    dataset.save_as(path)
    refused = refusal(path.read_bytes())
    assert refused.status == 422
    assert "floating-point pixels" in refused.reason


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_a_files_pixels_are_told_by_its_header(tmp_path: Path, kind: str) -> None:
    assert pixels_of(encoded(noise((40, 33)), kind)) == 40 * 33
    assert pixels_of(write_dicom(tmp_path / "a.dcm", noise((40, 33))).read_bytes()) == 40 * 33
    assert pixels_of(png_of_declared_size(8_000, 8_000)) == 64_000_000
    for refused in (b"", b"GIF89a", png_of_declared_size(9_000, 9_000), JPEG, bytes(128) + DICOM):
        assert pixels_of(refused) == 0


def test_the_same_eight_bits_are_one_tensor_as_dicom_and_as_png(tmp_path: Path) -> None:
    pixels = noise((28, 28)) // 2 + 40
    raw = write_dicom(tmp_path / "a.dcm", pixels).read_bytes()
    tensor = as_tensor(raw, channels=1, size=28)
    assert np.array_equal(tensor, as_tensor(encoded(pixels), channels=1, size=28))
    assert np.array_equal(tensor[0], pixels)
    inverse = write_dicom(tmp_path / "b.dcm", pixels, PhotometricInterpretation="MONOCHROME1")
    assert np.array_equal(as_tensor(inverse.read_bytes(), channels=1, size=28)[0], 255 - pixels)
    rescaled = write_dicom(tmp_path / "c.dcm", pixels, RescaleSlope="2", RescaleIntercept="0")
    stretched = as_tensor(rescaled.read_bytes(), channels=1, size=28)
    assert (stretched.min(), stretched.max()) == (0, 255)  # what gray these are no tag says


def refusal(raw: bytes, *, channels: int = 1) -> Refusal:
    with pytest.raises(Refusal) as refused:
        as_tensor(raw, channels=channels, size=28)
    return refused.value


@pytest.mark.parametrize(
    ("raw", "channels", "status", "said"),
    [
        (b"", 1, 422, "The file is empty"),
        (b"GIF89a" + bytes(50), 1, 415, "neither PNG nor JPEG nor DICOM"),
        (encoded(noise((28, 28)))[:60], 1, 422, "damaged, or cut off"),
        (b"\xff\xd8\xff" + bytes(40), 1, 422, "damaged, or cut off"),
        (bytes(128) + b"DICM" + bytes(40), 1, 422, "without pixels, or ends before them"),
        (png_of_declared_size(9_000, 9_000), 1, 413, "64 million pixels"),
        (png_of_declared_size(100_000, 100_000), 1, 413, "64 million pixels"),
        (
            png_of_declared_size(1, 30_000),
            1,
            413,
            "10,000 pixels a side at the most, and this one has 30,000",
        ),
        (encoded(noise((1, 1))), 1, 422, "16 pixels a side at the least, and this one 1 x 1"),
        (animated(), 1, 422, "It is animated"),
        (encoded(noise((28, 28, 3))), 1, 422, "takes gray pictures"),
        (encoded(noise((28, 28))), 3, 422, "3 channels, and this one has 1"),
    ],
)
def test_a_bad_file_is_refused_with_a_status_and_a_reason(
    raw: bytes, channels: int, status: int, said: str
) -> None:
    refused = refusal(raw, channels=channels)
    assert refused.status == status
    assert said in refused.reason


def test_a_file_of_too_many_bytes_is_not_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "MOST_FILE_BYTES", 1 << 20)
    assert refusal(encoded(noise((28, 28))) + bytes(1 << 20)).status == 413
