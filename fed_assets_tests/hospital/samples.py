"""Small sets of images that tests write to disk."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from numpy.typing import NDArray
from PIL import Image
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRLittleEndian,
    SecondaryCaptureImageStorage,
    generate_uid,
)

Pixels = NDArray[Any]


def noise(shape: tuple[int, ...], seed: int = 0) -> Pixels:
    """Random pixels: no two images alike, none blank."""
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def write_npz(
    path: Path,
    *,
    train: int = 60,
    val: int = 12,
    test: int = 20,
    side: tuple[int, ...] = (12, 12),
    classes: int = 2,
    **replaced: Any,
) -> Path:
    """A MedMNIST file; an array given by its key replaces the made one, None leaves it out."""
    arrays: dict[str, Any] = {}
    for number, (split, count) in enumerate({"train": train, "val": val, "test": test}.items()):
        arrays[f"{split}_images"] = noise((count, *side), seed=number)
        arrays[f"{split}_labels"] = np.arange(count, dtype=np.uint8)[:, None] % classes
    arrays |= replaced
    np.savez_compressed(path, **{key: each for key, each in arrays.items() if each is not None})
    return path


def write_picture(path: Path, pixels: Pixels) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)
    return path


def write_folder(
    root: Path,
    *,
    splits: tuple[str, ...] = ("train", "val", "test"),
    classes: tuple[str, ...] = ("NORMAL", "PNEUMONIA"),
    images: int = 8,
    side: int = 20,
) -> Path:
    """A folder split/class/personN_M.png with `images` gray pictures, two a patient, each."""
    seed = 0
    for split in splits or ("",):
        for name in classes:
            for number in range(images):
                seed += 1
                file = f"person{split}{name}{number // 2}_{number}.png"
                write_picture(root / split / name / file, noise((side, side), seed))
    return root


def png_of_declared_size(width: int, height: int) -> bytes:
    """A PNG whose header promises more pixels than anybody wrote."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        checksum = struct.pack(">I", zlib.crc32(kind + body))
        return struct.pack(">I", len(body)) + kind + body + checksum

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    body = zlib.compress(bytes(1000))
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", body) + chunk(b"IEND", b"")
    )


def write_dicom(
    path: Path, pixels: Pixels, *, syntax: str = ExplicitVRLittleEndian, **tags: Any
) -> Path:
    """A single-frame grayscale DICOM file of one patient, any tag replaced."""
    path.parent.mkdir(parents=True, exist_ok=True)
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = SecondaryCaptureImageStorage
    meta.MediaStorageSOPInstanceUID = generate_uid()
    meta.TransferSyntaxUID = syntax
    dataset = FileDataset(None, {}, file_meta=meta, preamble=bytes(128))
    dataset.PatientName, dataset.PatientID = "Lovelace^Ada", "MRN-1815-12-10"
    dataset.SOPClassUID, dataset.SOPInstanceUID = (
        meta.MediaStorageSOPClassUID,
        meta.MediaStorageSOPInstanceUID,
    )
    bits = pixels.dtype.itemsize * 8
    dataset.Rows, dataset.Columns = pixels.shape[:2]
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.BitsAllocated = dataset.BitsStored = bits
    dataset.HighBit, dataset.PixelRepresentation = bits - 1, int(pixels.dtype.kind == "i")
    dataset.PixelData = pixels.tobytes()
    for name, value in tags.items():
        setattr(dataset, name, value)
    dataset.save_as(path, enforce_file_format=True)
    return path


def write_inflating_dicom(path: Path, pixels: Pixels, zeros: int, *, after: bool = False) -> Path:
    """A small deflated DICOM file that inflates to many zeros, before its pixels or after them."""
    write_dicom(path, pixels)
    dataset = pydicom.dcmread(path)
    dataset.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    dataset.add_new(0x7FE10010 if after else 0x00290010, "LO", "MADE UP")
    dataset.add_new(0x7FE11010 if after else 0x00291010, "OB", bytes(zeros))
    dataset.save_as(path, enforce_file_format=True)
    return path
