"""One JPEG or PNG file, decoded without trusting it."""

from __future__ import annotations

import io
import warnings
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from PIL import Image

MAX_SIDE = 10_000
MAX_PIXELS = 64_000_000
MAX_FILE_BYTES = 160 * 2**20
"""What 64 million 16-bit pixels need uncompressed, and a little for the header."""

PNG, JPEG = b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff"
MAX_SCANS = 100
"""Of a JPEG: a progressive one has about ten, and each is another way over all of its pixels."""

_START_OF_SCAN = b"\xff\xda"  # nowhere else in a JPEG's pixels, where 0xff is followed by 0
_SHAPING_CHUNKS = {b"PLTE", b"tRNS", b"IDAT", b"IEND", b"acTL", b"fcTL", b"fdAT"}
_PNG_DEPTH_AT = 24  # in the IHDR chunk, which the format puts first
_GRAY_MODES = {"1", "L", "LA", "La", "I", "I;16", "I;16B", "I;16L", "F"}


@dataclass(frozen=True, slots=True)
class Picture:
    """One picture as it was read.

    Attributes:
        pixels: uint8 [height, width] or [height, width, 3]; None where it is unreadable.
        width: Of the picture as it is stored, in pixels; 0 where even that could not be read.
        height: The same.
        bit_depth: Bits per sample as it is stored; 0 where it could not be read.
        oversized: Whether it was not decoded because it has too many pixels.
        fault: Why there are no pixels, a sentence that quotes nothing of the file but its size;
            empty where there are some.
    """

    pixels: NDArray[np.uint8] | None = field(repr=False)
    width: int = 0
    height: int = 0
    bit_depth: int = 0
    oversized: bool = False
    fault: str = ""


DAMAGED = "It cannot be decoded: it is damaged, or cut off."
ANIMATED = "It is animated, and one picture is taken."
EMPTY = "It says that it is 0 pixels wide or high."
TOO_MANY = f"A picture may have {MAX_PIXELS // 10**6} million pixels at the most."


def too_large(width: int, height: int) -> str:
    """Returns why an image of so many pixels is not decoded; nothing where it may be."""
    if max(width, height) > MAX_SIDE:
        return (
            f"A picture may have {MAX_SIDE:,} pixels a side at the most, and this one has "
            f"{max(width, height):,}."
        )
    return TOO_MANY if width * height > MAX_PIXELS else ""


def too_many_scans(raw: bytes) -> str:
    """Returns why a JPEG of so many scans is not decoded; nothing where it may be."""
    scans = raw.count(_START_OF_SCAN)
    if scans <= MAX_SCANS:
        return ""
    return f"A JPEG may have {MAX_SCANS} scans at the most, and this one has {scans:,}."


def picture_size(raw: bytes) -> tuple[int, int]:
    """Returns how many pixels wide and high a JPEG or PNG says that it is, without decoding any.

    Raises:
        Exception: Whatever Pillow raises of a damaged file.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with _opened(raw) as image:
            return image.size


def read_picture(raw: bytes) -> Picture:
    """Decodes a JPEG or an 8- or 16-bit PNG; 16 bits are scaled to 8 over their full range.

    A truncated, empty or oversized file, or one that is no picture, gives an unreadable one;
    an oversized one is refused by its header, before a pixel is decoded.
    """
    width = height = bit_depth = 0
    pixels: NDArray[np.uint8] | None = None
    oversized, fault = False, ""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow's texts may quote what the file holds
            with _opened(raw) as image:
                width, height = image.size
                bit_depth = raw[_PNG_DEPTH_AT] if image.format == "PNG" else 8
                fault = too_large(width, height)
                oversized = bool(fault)
                # Which of several pictures is meant nobody can tell; a JPEG's others are previews.
                if image.format == "PNG" and getattr(image, "n_frames", 1) > 1:
                    fault = fault or ANIMATED
                if image.format != "PNG":
                    fault = fault or too_many_scans(raw)
                if not fault:
                    pixels = _to_uint8(image)
    except Image.DecompressionBombError:
        oversized, fault = True, TOO_MANY
    # Whatever a damaged file makes Pillow raise, it is one unreadable image, not the end.
    except Exception:
        pixels, fault = None, fault or DAMAGED
    return Picture(pixels, width, height, bit_depth, oversized, fault)


def _opened(raw: bytes) -> Image.Image:
    """Returns a picture whose header was read, and no pixel of it."""
    bare = _bare_png(raw) if raw.startswith(PNG) else raw
    return Image.open(io.BytesIO(bare), formats=("JPEG", "PNG"))


def _bare_png(raw: bytes) -> bytes:
    """Returns a PNG without the chunks that do not shape its pixels.

    Pillow inflates them (texts, colour profiles) to a mebibyte each, as many as there are, and lets
    a second header chunk promise another size than the first.
    """
    kept, at = [raw[: len(PNG)]], len(PNG)
    while at < len(raw):
        end = at + 12 + int.from_bytes(raw[at : at + 4], "big")
        if at == len(PNG) or raw[at + 4 : at + 8] in _SHAPING_CHUNKS:
            kept.append(raw[at:end])
        at = end
    return b"".join(kept)


def _to_uint8(image: Image.Image) -> NDArray[np.uint8]:
    if image.mode.startswith("I"):
        wide = np.asarray(image).astype(np.uint32).clip(0, 65535)
        return ((wide + 128) // 257).astype(np.uint8)
    return np.asarray(image.convert("L" if image.mode in _GRAY_MODES else "RGB"))
