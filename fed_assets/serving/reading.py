"""One file as the picture that training would have made of it, or the reason why it is none."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fed_assets.pictures.picture import (
    JPEG,
    PNG,
    Picture,
    picture_size,
    read_picture,
    too_large,
)
from fed_assets.pictures.tensor import to_tensor
from fed_assets.serving.limits import LEAST_SIDE, MEBIBYTE, MOST_FILE_BYTES

DICOM = b"DICM"
_DICOM_AT = slice(128, 132)


class Refusal(Exception):
    """Why something is not answered for.

    Args:
        status: of HTTP, from 400 on.
        reason: for who sent it, without a file's name.
    """

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status, self.reason = status, reason


def pixels_of(raw: bytes) -> int:
    """Returns how many pixels a file's header says that it has, if they are going to be decoded.

    Whatever is refused by itself, be it too large, damaged or of no known form, counts as none.
    """
    try:
        if len(raw) > MOST_FILE_BYTES:
            return 0
        if raw.startswith((PNG, JPEG)):
            width, height = picture_size(raw)
        elif raw[_DICOM_AT] == DICOM:
            from fed_assets.pictures.dicom import dicom_size

            width, height = dicom_size(raw)
        else:
            return 0
    except Exception:  # whatever its decoder raises of a damaged file, it will raise again
        return 0
    return 0 if too_large(width, height) else width * height


def as_tensor(raw: bytes, *, channels: int, size: int) -> NDArray[np.uint8]:
    """Returns a file's picture as training would have made it, uint8 [channels, size, size].

    Raises:
        Refusal: it is empty, too large or too small, no PNG, JPEG or DICOM, damaged, or of
            other channels.
    """
    if len(raw) > MOST_FILE_BYTES:
        raise Refusal(413, f"A file may have {MOST_FILE_BYTES // MEBIBYTE} MiB at the most.")
    picture = _decoded(raw)
    if (pixels := picture.pixels) is None:
        raise Refusal(413 if picture.oversized else 422, picture.fault)
    least = min(LEAST_SIDE, size)
    if min(pixels.shape[:2]) < least:
        seen = f"{picture.width} x {picture.height}"
        raise Refusal(
            422, f"A picture has {least} pixels a side at the least, and this one {seen}."
        )
    coloured = pixels.ndim == 3
    if channels == 1 and coloured and np.ptp(pixels, axis=2).any():
        raise Refusal(422, "The model takes gray pictures, and this one has colours.")
    if channels == 3 and not coloured:
        raise Refusal(422, "The model takes pictures of 3 channels, and this one has 1.")
    return to_tensor(pixels, channels=channels, size=size)


def _decoded(raw: bytes) -> Picture:
    if raw.startswith((PNG, JPEG)):
        return read_picture(raw)
    if raw[_DICOM_AT] == DICOM:
        from fed_assets.pictures.dicom import read_dicom

        return read_dicom(raw)
    if not raw:
        raise Refusal(422, "The file is empty.")
    raise Refusal(415, "The file is neither PNG nor JPEG nor DICOM.")
