from __future__ import annotations

import zlib
from pathlib import Path

import numpy as np
import pytest
from pydicom.uid import DeflatedExplicitVRLittleEndian, RLELossless

from fed_assets.errors import NoImages
from fed_assets.hospital.files import Store
from fed_assets.hospital.images import prepare_images
from fed_assets.hospital.sources.dicom import decode_dicom, open_dicom
from fed_assets_tests.hospital.samples import noise, write_dicom

RAMP = np.arange(0, 4096, 16, dtype=np.uint16).reshape(16, 16)


def test_without_a_window_the_images_own_range_fills_eight_bits(tmp_path: Path) -> None:
    decoded = decode_dicom(write_dicom(tmp_path / "a.dcm", RAMP, BitsStored=12, HighBit=11))
    assert decoded.pixels.dtype == np.uint8
    assert (decoded.pixels.min(), decoded.pixels.max()) == (0, 255)
    assert np.all(np.diff(decoded.pixels.ravel().astype(int)) >= 0)
    assert (decoded.width, decoded.height, decoded.bit_depth) == (16, 16, 12)


def test_monochrome1_is_the_inverse_of_monochrome2(tmp_path: Path) -> None:
    plain = decode_dicom(write_dicom(tmp_path / "a.dcm", RAMP))
    inverse = decode_dicom(
        write_dicom(tmp_path / "b.dcm", RAMP, PhotometricInterpretation="MONOCHROME1")
    )
    assert np.array_equal(inverse.pixels, 255 - plain.pixels)


def test_the_window_applies_to_rescaled_values(tmp_path: Path) -> None:
    stored = np.array([[0, 100], [150, 200]], np.uint16)
    decoded = decode_dicom(
        write_dicom(
            tmp_path / "a.dcm",
            stored,
            RescaleSlope="2",
            RescaleIntercept="-100",
            WindowCenter=["200", "9"],
            WindowWidth=["201", "9"],
        )
    )
    # PS3.3 C.11.2.1.2.1: ((x - (c - 0.5)) / (w - 1) + 0.5) * 255 of x = -100, 100, 200, 300
    assert decoded.pixels.tolist() == [[0, 1], [128, 255]]


@pytest.mark.parametrize(
    ("function", "expected"), [("LINEAR_EXACT", [0, 128, 255]), ("SIGMOID", [5, 128, 250])]
)
def test_the_other_window_functions_apply(
    tmp_path: Path, function: str, expected: list[int]
) -> None:
    stored = np.array([[0, 100, 200]], np.uint16)
    decoded = decode_dicom(
        write_dicom(
            tmp_path / "a.dcm",
            stored,
            WindowCenter="100",
            WindowWidth="200",
            VOILUTFunction=function,
        )
    )
    assert np.abs(decoded.pixels[0].astype(int) - expected).max() <= 26
    assert decoded.pixels[0, 1] == 128


def test_signed_pixels_and_eight_bits_are_read(tmp_path: Path) -> None:
    signed = decode_dicom(write_dicom(tmp_path / "a.dcm", RAMP.astype(np.int16) - 2048))
    plain = decode_dicom(write_dicom(tmp_path / "b.dcm", RAMP))
    assert np.array_equal(signed.pixels, plain.pixels)
    narrow = decode_dicom(write_dicom(tmp_path / "c.dcm", noise((8, 8))))
    assert narrow.bit_depth == 8


def test_a_second_export_under_other_tags_has_the_same_hash(tmp_path: Path) -> None:
    one = decode_dicom(write_dicom(tmp_path / "a.dcm", RAMP))
    other = decode_dicom(write_dicom(tmp_path / "b.dcm", RAMP, PatientID="another"))
    changed = decode_dicom(write_dicom(tmp_path / "c.dcm", RAMP[::-1].copy()))
    assert one.sha256 == other.sha256 != changed.sha256


@pytest.mark.parametrize(
    "tags",
    [
        {"PhotometricInterpretation": "RGB"},
        {"SamplesPerPixel": 3},
        {"NumberOfFrames": "2"},
        {"Rows": 20_000, "Columns": 20_000},
        {"PixelData": b"\0\0"},
        {"PixelData": bytes(200_000)},
        {"RescaleSlope": "1e308", "RescaleIntercept": "1e308", "WindowCenter": "0"},
        {"WindowCenter": "1", "WindowWidth": "0"},
    ],
    ids=lambda tags: next(iter(tags)),
)
def test_what_cannot_be_rendered_is_unreadable(tmp_path: Path, tags: dict[str, object]) -> None:
    assert decode_dicom(write_dicom(tmp_path / "a.dcm", RAMP, **tags)).pixels is None


@pytest.mark.parametrize("content", [b"", b"DICM", b"\0" * 128 + b"DICM", b"\0" * 4096])
def test_what_is_no_dicom_is_unreadable(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.dcm").write_bytes(content)
    assert decode_dicom(tmp_path / "a.dcm").pixels is None


def test_a_truncated_file_is_unreadable(tmp_path: Path) -> None:
    path = write_dicom(tmp_path / "a.dcm", RAMP)
    path.write_bytes(path.read_bytes()[:-100])
    assert decode_dicom(path).pixels is None


def test_a_deflated_file_is_read_and_a_deflated_bomb_is_not(tmp_path: Path) -> None:
    path = write_dicom(tmp_path / "a.dcm", RAMP, syntax=DeflatedExplicitVRLittleEndian)
    assert decode_dicom(path).pixels is not None
    raw = path.read_bytes()
    start = 132 + 12 + int.from_bytes(raw[140:144], "little")
    squeezer = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    bomb = b"".join(squeezer.compress(bytes(2**24)) for _ in range(16)) + squeezer.flush()
    path.write_bytes(raw[:start] + bomb)
    assert decode_dicom(path).pixels is None


def test_run_length_encoding_is_read(tmp_path: Path) -> None:
    import pydicom

    path = write_dicom(tmp_path / "a.dcm", RAMP)
    plain = decode_dicom(path)
    dataset = pydicom.dcmread(path)
    dataset.compress(RLELossless)
    dataset.save_as(path)
    assert np.array_equal(decode_dicom(path).pixels, plain.pixels)


def _hospital(root: Path) -> Path:
    for split, patients in (("train", range(6)), ("test", range(6, 8))):
        for patient in patients:
            for number in range(2):
                name = ("clear", "sick")[patient % 2]
                write_dicom(
                    root / split / name / f"Lovelace_{patient}_{number}.dcm",
                    noise((16, 16), seed=10 * patient + number),
                    PatientID=f"MRN-{patient:05d}",
                )
    return root


def test_patients_have_pseudonyms_that_only_the_salt_explains(tmp_path: Path) -> None:
    root = _hospital(tmp_path)
    one = [record.patient for record in open_dicom(root, salt=b"one").records()]
    again = [record.patient for record in open_dicom(root, salt=b"one").records()]
    other = [record.patient for record in open_dicom(root, salt=b"other").records()]
    assert one == again
    assert len(set(one)) == len(set(other)) == 8
    assert not set(one) & set(other)


def test_nothing_that_identifies_a_patient_is_in_the_store(tmp_path: Path) -> None:
    store = tmp_path / "store"
    source = {"kind": "dicom", "path": str(_hospital(tmp_path / "images"))}
    result = prepare_images({"source": source, "image_size": 16}, Store(store))
    assert (result["patients"], result["images"], result["unreadable"]) == (8, 16, 0)
    written = b"".join(path.read_bytes() for path in store.rglob("*") if path.is_file())
    for identifying in (b"MRN-", b"Lovelace", b"Ada"):
        assert identifying not in written
    assert b"Lovelace" not in repr(result).encode()


def test_two_stores_with_other_salts_have_the_same_digest(tmp_path: Path) -> None:
    source = {"kind": "dicom", "path": str(_hospital(tmp_path / "images"))}
    arguments = {"source": source, "image_size": 16}
    digests = {prepare_images(arguments, Store(tmp_path / name))["digest"] for name in ("a", "b")}
    assert len(digests) == 1


def test_an_empty_patient_id_is_an_unknown_patient(tmp_path: Path) -> None:
    write_dicom(tmp_path / "a" / "1.dcm", RAMP, PatientID="  ")
    (tmp_path / "a" / "2.dcm").write_bytes(b"no header")
    assert [record.patient for record in open_dicom(tmp_path, salt=b"s").records()] == [None, None]


def test_a_folder_without_dicom_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "1.png").touch()
    with pytest.raises(NoImages):
        open_dicom(tmp_path, salt=b"s")
