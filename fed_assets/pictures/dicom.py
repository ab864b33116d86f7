"""One DICOM file, rendered to 8 bits; of its tags only what shapes the pixels is used."""

from __future__ import annotations

import io
import warnings
import zlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fed_assets.pictures.picture import DAMAGED, EMPTY, MAX_FILE_BYTES, Picture, too_large

PREAMBLE_BYTES = 128
MAGIC = b"DICM"
_CONTAINER_BYTES = 2**16  # what an encoding may need around a tiny image
_DEFLATED = "1.2.840.10008.1.2.1.99"
_META_GROUP = 2
_EIGHT_BITS = 8
_GRAY = ("MONOCHROME1", "MONOCHROME2")
PIXELLESS = "It is a DICOM file without pixels, or ends before them."
SEVERAL = "It is a DICOM file of several frames, and one picture is taken."
COLOURED = "It is a DICOM file of colours; MONOCHROME1 and MONOCHROME2 are taken."
ENCODED = "The pixels of the DICOM file are encoded in a way that is not read here."


def read_dicom(raw: bytes) -> Picture:
    """Renders one file to 8 bits: modality LUT, window, then inversion of MONOCHROME1.

    The order and the window's formulas are those of DICOM PS3.3 C.11.1, C.11.2 and C.7.6.3.1.2.
    Without a window, an image of 8 bits is taken as it is stored, as it would be of a PNG; one of
    more bits has no such values, and its own range fills the 8 bits. Colour, several frames, a
    damaged, oversized or inflating file give an unreadable image.
    """
    width = height = bit_depth = 0
    pixels: NDArray[np.uint8] | None = None
    oversized, fault = False, ""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # pydicom's texts quote the values of tags
            dataset = parse_dicom(raw)
            if "PixelData" not in dataset:
                return Picture(None, fault=PIXELLESS)
            width, height = int(dataset.Columns), int(dataset.Rows)
            bit_depth = int(dataset.BitsStored)
            fault = too_large(width, height)
            oversized = bool(fault)
            fault = fault or _unrendered(dataset)
            if not fault:
                pixels = _render(dataset)
    # Whatever a damaged file makes pydicom or its decoders raise, it is one unreadable image.
    except Exception:
        pixels, fault = None, fault or DAMAGED
    return Picture(pixels, width, height, bit_depth, oversized, fault)


def _unrendered(dataset: Any) -> str:
    """Returns why what is whole is not rendered all the same; nothing where it is."""
    from pydicom.pixels.decoders.base import get_decoder

    if not dataset.Rows or not dataset.Columns:
        return EMPTY
    if int(dataset.get("NumberOfFrames") or 1) != 1:
        return SEVERAL
    if dataset.SamplesPerPixel != 1 or dataset.PhotometricInterpretation not in _GRAY:
        return COLOURED
    try:
        known = get_decoder(dataset.file_meta.TransferSyntaxUID).is_available
    except NotImplementedError:
        known = False
    return "" if known else ENCODED


def parse_dicom(raw: bytes, **options: Any) -> Any:
    """Returns pydicom's dataset of a file's bytes, which inflate to no more than a file may hold.

    Raises:
        ValueError: They inflate to more.
        Exception: Whatever pydicom raises of a damaged file.
    """
    import pydicom

    head = io.BytesIO(raw)
    if raw[PREAMBLE_BYTES : PREAMBLE_BYTES + len(MAGIC)] == MAGIC:
        head.seek(PREAMBLE_BYTES + len(MAGIC))
        meta = pydicom.filereader.read_dataset(
            head, False, True, stop_when=lambda tag, *_: tag.group != _META_GROUP
        )
        if str(meta.get("TransferSyntaxUID")) == _DEFLATED:
            # pydicom inflates without a limit, so the file is tried against one first.
            start = 132 + 12 + int(meta.FileMetaInformationGroupLength)
            inflater = zlib.decompressobj(-zlib.MAX_WBITS)
            inflater.decompress(raw[start:], MAX_FILE_BYTES)
            if inflater.unconsumed_tail:
                raise ValueError("inflates to too many bytes")
    return pydicom.dcmread(io.BytesIO(raw), **options)


def _render(dataset: Any) -> NDArray[np.uint8]:
    from pydicom.pixels.processing import apply_modality_lut, apply_voi_lut

    photometric = str(dataset.PhotometricInterpretation)
    frame_bytes = dataset.Rows * dataset.Columns * dataset.BitsAllocated // 8
    if len(dataset.PixelData) > 2 * frame_bytes + _CONTAINER_BYTES:
        # A decoder would expand every byte of it before it noticed; no encoding doubles an image.
        raise ValueError("more pixel data than pixels")
    values = np.asarray(apply_modality_lut(dataset.pixel_array, dataset), np.float64)
    if dataset.get("WindowCenter") is not None and dataset.get("WindowWidth") is not None:
        unit = _window(values, dataset)
    elif _is_as_shown(dataset):
        unit = values / 255
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


def _is_as_shown(dataset: Any) -> bool:
    """Returns whether the stored values are the gray levels to show: eight bits, and no more said.

    To stretch them would make of the same pixels another image than a PNG of them is.
    """
    slope, intercept = dataset.get("RescaleSlope"), dataset.get("RescaleIntercept")
    scaled = float(slope or 1) != 1 or float(intercept or 0) != 0
    tables = dataset.get("VOILUTSequence") or dataset.get("ModalityLUTSequence")
    return not (
        scaled or tables or dataset.PixelRepresentation or dataset.BitsStored != _EIGHT_BITS
    )


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
