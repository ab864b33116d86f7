"""One JPEG or PNG file, decoded without trusting it."""

from __future__ import annotations

import hashlib
import io
import warnings
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from fed_assets.hospital.sources.protocol import Decoded

MAX_SIDE = 10_000
MAX_PIXELS = 64_000_000
MAX_FILE_BYTES = 160 * 2**20
"""What 64 million 16-bit pixels need uncompressed, and a little for the header."""

_PNG_DEPTH_AT = 24  # in the IHDR chunk, which the format puts first
_GRAY_MODES = {"1", "L", "LA", "La", "I", "I;16", "I;16B", "I;16L", "F"}


def within_limits(width: int, height: int) -> bool:
    """Whether an image of this many pixels may be decoded at all."""
    return 0 < width <= MAX_SIDE and 0 < height <= MAX_SIDE and width * height <= MAX_PIXELS


def read_bytes(path: Path) -> tuple[bytes | None, str]:
    """Returns a file's bytes and their sha256 (hex); None for bytes that are too many to decode.

    A file that has gone, or may not be read, has no bytes.
    """
    try:
        with path.open("rb") as file:
            if path.stat().st_size > MAX_FILE_BYTES:
                return None, hashlib.file_digest(file, "sha256").hexdigest()
            raw = file.read(MAX_FILE_BYTES + 1)
    except OSError:
        raw = b""
    return raw, hashlib.sha256(raw).hexdigest()


def decode_picture(path: Path) -> Decoded:
    """Decodes a JPEG or an 8- or 16-bit PNG; 16 bits are scaled to 8 over their full range.

    A truncated, empty or oversized file, or one that is no picture, gives an unreadable image;
    an oversized one is refused by its header, before a pixel is decoded.
    """
    raw, sha256 = read_bytes(path)
    width = height = bit_depth = 0
    pixels: NDArray[np.uint8] | None = None
    if raw:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # Pillow's texts may quote what the file holds
                with Image.open(io.BytesIO(raw), formats=("JPEG", "PNG")) as image:
                    width, height = image.size
                    bit_depth = raw[_PNG_DEPTH_AT] if image.format == "PNG" else 8
                    if within_limits(width, height):
                        pixels = _to_uint8(image)
        # Whatever a damaged file makes Pillow raise, it is one unreadable image, not the end.
        except Exception:
            pixels = None
    return Decoded(pixels, width, height, bit_depth, sha256)


def _to_uint8(image: Image.Image) -> NDArray[np.uint8]:
    if image.mode.startswith("I"):
        wide = np.asarray(image).astype(np.uint32).clip(0, 65535)
        return ((wide + 128) // 257).astype(np.uint8)
    return np.asarray(image.convert("L" if image.mode in _GRAY_MODES else "RGB"))
