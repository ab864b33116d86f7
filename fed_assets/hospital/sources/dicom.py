"""One image per DICOM file of a folder; of its tags only what shapes the pixels is used."""

from __future__ import annotations

import hashlib
import hmac
import io
import warnings
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fed_assets.hospital.sources.layout import ImageFile, class_names, list_images
from fed_assets.hospital.sources.picture import MAX_FILE_BYTES, read_bytes, within_limits
from fed_assets.hospital.sources.protocol import UNKNOWN_LABEL, Decoded, Record

SUFFIXES = frozenset({".dcm", ".dicom", ""})
_CONTAINER_BYTES = 2**16  # what an encoding may need around a tiny image
_DEFLATED = "1.2.840.10008.1.2.1.99"


@dataclass(frozen=True)
class Dicom:
    """A folder of DICOM files, listed; nothing of an image is in memory."""

    files: list[ImageFile] = field(repr=False)
    classes: tuple[str, ...]
    salt: bytes = field(repr=False)
    channels: int = 1
    synthetic: bool = False

    def records(self) -> list[Record]:
        """Lists every file, its patient under a pseudonym and its name as a hash."""
        return [self._record(position, file) for position, file in enumerate(self.files)]

    def read(self, records: Sequence[Record]) -> Iterator[Decoded]:
        """Decodes the files of `records` one by one."""
        return (decode_dicom(self.files[record.position].path) for record in records)

    def _record(self, position: int, file: ImageFile) -> Record:
        known = file.class_name in self.classes
        return Record(
            hashlib.sha256(file.image_id.encode()).hexdigest()[:16],
            file.split,
            self.classes.index(file.class_name) if known else UNKNOWN_LABEL,
            _pseudonym(file.path, self.salt),
            position,
        )


def open_dicom(path: Path, *, classes: tuple[str, ...] | None = None, salt: bytes) -> Dicom:
    """Opens `split/class/file` or `class/file` of single-frame grayscale DICOM.

    Args:
        path: The folder.
        classes: Names of class folders in the order of their labels; None takes all, sorted.
        salt: Secret of the hospital: with it a patient's id becomes a pseudonym.

    Raises:
        SourceMissing: There is no such folder.
        SourceCorrupt: Its folders are splits and classes mixed.
        NoImages: It holds no DICOM file.
    """
    files = list_images(path, SUFFIXES)
    return Dicom(files, class_names(files, classes), salt)


def decode_dicom(path: Path) -> Decoded:
    """Decodes one file to 8 bits: modality LUT, window, then inversion of MONOCHROME1.

    The order and the window's formulas are those of DICOM PS3.3 C.11.1, C.11.2 and C.7.6.3.1.2.
    Without a window the image's own range fills the 8 bits. `sha256` is that of the rendered
    image, so that a second export of it under other tags still counts as a duplicate. Colour,
    several frames, a damaged, oversized or inflating file give an unreadable image.
    """
    raw, sha256 = read_bytes(path)
    width = height = bit_depth = 0
    pixels: NDArray[np.uint8] | None = None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # pydicom's texts quote the values of tags
            dataset = _parse(path, raw or b"")
            width, height = int(dataset.Columns), int(dataset.Rows)
            bit_depth = int(dataset.BitsStored)
            single = int(dataset.get("NumberOfFrames") or 1) == 1 and dataset.SamplesPerPixel == 1
            if within_limits(width, height) and single:
                pixels = _render(dataset)
                sha256 = hashlib.sha256(repr(pixels.shape).encode() + pixels.tobytes()).hexdigest()
    # Whatever a damaged file makes pydicom or its decoders raise, it is one unreadable image.
    except Exception:
        pixels = None
    return Decoded(pixels, width, height, bit_depth, sha256)


def _parse(path: Path, raw: bytes, **options: Any) -> Any:
    import pydicom

    meta = pydicom.filereader.read_file_meta_info(path)
    if str(meta.get("TransferSyntaxUID")) == _DEFLATED:
        # pydicom inflates without a limit, so the file is tried against one first.
        start = 132 + 12 + int(meta.FileMetaInformationGroupLength)
        inflater = zlib.decompressobj(-zlib.MAX_WBITS)
        inflater.decompress(raw[start:], MAX_FILE_BYTES)
        if inflater.unconsumed_tail:
            raise ValueError("inflates to too many bytes")
    return pydicom.dcmread(io.BytesIO(raw), **options)


def _pseudonym(path: Path, salt: bytes) -> str | None:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            raw = read_bytes(path)[0] or b""
            header = _parse(path, raw, stop_before_pixels=True, specific_tags=["PatientID"])
        patient = str(header.get("PatientID") or "").strip()
    # A file without a readable header becomes an unreadable image when its pixels are asked for.
    except Exception:
        return None
    return hmac.new(salt, patient.encode(), "sha256").hexdigest()[:24] if patient else None


def _render(dataset: Any) -> NDArray[np.uint8]:
    from pydicom.pixels.processing import apply_modality_lut, apply_voi_lut

    photometric = str(dataset.PhotometricInterpretation)
    if photometric not in ("MONOCHROME1", "MONOCHROME2"):
        raise ValueError("not a grayscale image")
    frame_bytes = dataset.Rows * dataset.Columns * dataset.BitsAllocated // 8
    if len(dataset.PixelData) > 2 * frame_bytes + _CONTAINER_BYTES:
        # A decoder would expand every byte of it before it noticed; no encoding doubles an image.
        raise ValueError("more pixel data than pixels")
    values = np.asarray(apply_modality_lut(dataset.pixel_array, dataset), np.float64)
    if dataset.get("WindowCenter") is not None and dataset.get("WindowWidth") is not None:
        unit = _window(values, dataset)
    else:
        if dataset.get("VOILUTSequence"):
            values = np.asarray(apply_voi_lut(values.astype(np.int64), dataset), np.float64)
        low, high = values.min(), values.max()
        unit = (values - low) / (high - low) if high > low else np.zeros_like(values)
    if not np.isfinite(unit).all():
        raise ValueError("not a number")
    unit = unit.clip(0.0, 1.0)
    if photometric == "MONOCHROME1":
        unit = 1.0 - unit
    return np.rint(unit * 255).astype(np.uint8)


def _window(values: NDArray[np.float64], dataset: Any) -> NDArray[np.float64]:
    center, width = (_first(dataset[name].value) for name in ("WindowCenter", "WindowWidth"))
    match str(dataset.get("VOILUTFunction") or "LINEAR"):
        case "SIGMOID":
            exponent = (-4.0 * (values - center) / width).clip(-700, 700)  # exp stays finite
            return np.asarray(1.0 / (1.0 + np.exp(exponent)))
        case "LINEAR_EXACT":
            return np.asarray((values - center) / width + 0.5)
        case _:
            if width < 1:
                raise ValueError("a linear window is at least 1 wide")
            # A width of 1 is a threshold; the smallest divisor makes it one.
            return np.asarray((values - (center - 0.5)) / max(width - 1.0, 1e-9) + 0.5)


def _first(value: Any) -> float:
    # A file may offer several windows; the first is the one to show.
    return float(value[0] if hasattr(value, "__len__") and not isinstance(value, str) else value)
