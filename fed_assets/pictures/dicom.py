"""One DICOM file, rendered to 8 bits; of its tags only what shapes the pixels is used."""

from __future__ import annotations

import io
import warnings
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from fed_assets.pictures.dicom_file import TooManyBytes, parse_dicom
from fed_assets.pictures.picture import DAMAGED, EMPTY, Picture, too_large, too_many_scans

_CONTAINER_BYTES = 2**16  # what an encoding may need around a tiny image
_EIGHT_BITS = 8
_GRAY = ("MONOCHROME1", "MONOCHROME2")
_SIZE = ("Columns", "Rows", "BitsAllocated")
_FLOATING = ("FloatPixelData", "DoubleFloatPixelData")
_SHAPING = (
    *(*_SIZE, "BitsStored", "HighBit", "PixelRepresentation", "SamplesPerPixel"),
    *("PlanarConfiguration", "PhotometricInterpretation", "NumberOfFrames", "PixelData"),
    *("ExtendedOffsetTable", "ExtendedOffsetTableLengths", *_FLOATING),
    *("RescaleSlope", "RescaleIntercept", "ModalityLUTSequence"),
    *("VOILUTSequence", "VOILUTFunction", "WindowCenter", "WindowWidth"),
)
PIXELLESS = "It is a DICOM file without pixels, or ends before them."
FLOATING = "It is a DICOM file of floating-point pixels, and only whole numbers are read."
SEVERAL = "It is a DICOM file of several frames, and one picture is taken."
COLOURED = "It is a DICOM file of colours; MONOCHROME1 and MONOCHROME2 are taken."
ENCODED = "The pixels of the DICOM file are encoded in a way that is not read here."
ENCLOSED = "The picture inside the DICOM file has another size than its Rows and Columns say."
WINDOW = (
    "The window of the DICOM file shows nothing: its WindowWidth has to be 1 or more, or more than "
    "0 where its VOILUTFunction is SIGMOID or LINEAR_EXACT."
)


def dicom_size(raw: bytes) -> tuple[int, int]:
    """Returns how many pixels wide and high a file says that it is, without decoding any.

    Raises:
        TooManyBytes: It has more tags than it may.
        Exception: Whatever pydicom raises of a damaged file.
    """
    head = parse_dicom(raw, _SIZE)
    return int(head.Columns), int(head.Rows)


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
            head = parse_dicom(raw, _SIZE)
            if "Rows" not in head or "Columns" not in head:
                return Picture(None, fault=PIXELLESS)
            width, height = int(head.Columns), int(head.Rows)
            if fault := too_large(width, height):
                return Picture(None, width, height, oversized=True, fault=fault)
            # A decoder would expand every byte of it; no encoding doubles an image.
            image_bytes = width * height * int(head.BitsAllocated) // 8
            dataset = parse_dicom(raw, _SHAPING, pixel_bytes=2 * image_bytes + _CONTAINER_BYTES)
            bit_depth = int(dataset.get("BitsStored") or 0)
            fault = _unrendered(dataset)
            if not fault:
                pixels = _render(dataset)
    except TooManyBytes as error:
        oversized, fault = True, str(error)
    # Whatever a damaged file makes pydicom or its decoders raise, it is one unreadable image.
    except Exception:
        pixels, fault = None, fault or DAMAGED
    return Picture(pixels, width, height, bit_depth, oversized, fault)


def _unrendered(dataset: Any) -> str:
    """Returns why what is whole is not rendered all the same; nothing where it is."""
    from pydicom.pixels.decoders.base import get_decoder

    if "PixelData" not in dataset:
        return FLOATING if any(each in dataset for each in _FLOATING) else PIXELLESS
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
    if not known:
        return ENCODED
    return _enclosed_fault(dataset) or _window_fault(dataset)


def _enclosed_fault(dataset: Any) -> str:
    """Returns what is wrong with a JPEG or JPEG 2000 inside, before a decoder believes it."""
    from pydicom.encaps import get_frame
    from pydicom.uid import JPEG2000TransferSyntaxes, JPEGTransferSyntaxes

    syntax = dataset.file_meta.TransferSyntaxUID
    if syntax not in (*JPEGTransferSyntaxes, *JPEG2000TransferSyntaxes):
        return ""
    enclosed = get_frame(dataset.PixelData, 0, number_of_frames=1)
    with Image.open(io.BytesIO(enclosed), formats=("JPEG", "JPEG2000")) as image:
        if image.size != (dataset.Columns, dataset.Rows):
            return ENCLOSED
        return too_many_scans(enclosed) if image.format == "JPEG" else ""


def _window_fault(dataset: Any) -> str:
    """Returns why the window shows nothing; nothing where it does, or where there is none."""
    if dataset.get("WindowCenter") is None or dataset.get("WindowWidth") is None:
        return ""
    width = _first(dataset.WindowWidth)
    linear = str(dataset.get("VOILUTFunction") or "LINEAR") not in ("SIGMOID", "LINEAR_EXACT")
    return "" if (width >= 1 if linear else width > 0) else WINDOW


def _render(dataset: Any) -> NDArray[np.uint8]:
    from pydicom.pixels.processing import apply_modality_lut, apply_voi_lut

    photometric = str(dataset.PhotometricInterpretation)
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
            # A width of 1 is a threshold; the smallest divisor makes it one.
            return np.asarray((values - (center - 0.5)) / max(width - 1.0, 1e-9) + 0.5)


def _first(value: Any) -> float:
    # A file may offer several windows; the first is the one to show.
    return float(value[0] if hasattr(value, "__len__") and not isinstance(value, str) else value)
