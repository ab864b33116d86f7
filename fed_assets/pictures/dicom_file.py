"""The tags of one DICOM file that are asked for, out of no more bytes than it may have."""

from __future__ import annotations

import io
import zlib
from collections.abc import Sequence
from typing import Any

PREAMBLE_BYTES = 128
MAGIC = b"DICM"
MAX_TAG_BYTES = 4 * 2**20
"""Of all that comes before the pixels: a small deflated file may inflate to anything there, and as
many empty tags as fit into it take pydicom a second already."""

_DEFLATED = "1.2.840.10008.1.2.1.99"
_META_GROUP, _PIXEL_GROUP = 2, 0x7FE0
TAGS = (
    f"The tags before the pixels of a DICOM file may have {MAX_TAG_BYTES // 2**20} MiB, and those "
    "of this one have more."
)


class TooManyBytes(ValueError):
    """A file has, or inflates to, more bytes than it may; its text quotes nothing of the file."""


def parse_dicom(raw: bytes, tags: Sequence[str], *, pixel_bytes: int = 0) -> Any:
    """Returns pydicom's dataset of a file's bytes, with no other tags than those that are named.

    What a deflated file inflates to is cut off at the limit, and so is never in memory.

    Args:
        raw: The file.
        tags: Their keywords.
        pixel_bytes: How many the pixels may have; 0 stops before them.

    Raises:
        TooManyBytes: The tags have more than `MAX_TAG_BYTES`, or the pixels more than they may.
        Exception: Whatever pydicom raises of a damaged file.
    """
    from pydicom import filereader
    from pydicom.dataset import FileDataset, FileMetaDataset
    from pydicom.tag import Tag

    wanted: list[Any] = [Tag(each) for each in tags]
    stop = _at_pixels if pixel_bytes == 0 else _after_pixels
    most = MAX_TAG_BYTES + pixel_bytes
    meta, start = _meta(raw[:MAX_TAG_BYTES])
    if str(meta.get("TransferSyntaxUID")) == _DEFLATED:
        inflater = zlib.decompressobj(-zlib.MAX_WBITS)
        held = io.BytesIO(inflater.decompress(raw[start:], most))
        more = bool(inflater.unconsumed_tail)
        read = filereader.read_dataset(held, False, True, stop_when=stop, specific_tags=wanted)
        dataset = FileDataset(
            held,
            read,
            file_meta=FileMetaDataset(meta),
            is_implicit_VR=False,
            is_little_endian=True,
        )
    else:
        held = io.BytesIO(raw[: start + most])
        more = len(raw) > start + most
        dataset = filereader.read_partial(held, stop_when=stop, specific_tags=wanted)
    cut_off = more and not held.read(1)  # it was read to the limit, and not to where it stops
    if cut_off and pixel_bytes == 0:
        raise TooManyBytes(TAGS)
    if cut_off or len(dataset.get("PixelData") or b"") > pixel_bytes:
        raise TooManyBytes(
            f"The pixels of a DICOM file of this size may have {pixel_bytes:,} bytes, and those of "
            "this one have, or inflate to, more."
        )
    return dataset


def _meta(head: bytes) -> tuple[Any, int]:
    """Returns the file's meta information, and where the bytes after it begin."""
    from pydicom import filereader

    held = io.BytesIO(head)
    if head[PREAMBLE_BYTES : PREAMBLE_BYTES + len(MAGIC)] != MAGIC:
        raise ValueError("no DICOM file")
    held.seek(PREAMBLE_BYTES + len(MAGIC))
    meta = filereader.read_dataset(
        held, False, True, stop_when=lambda tag, *_: tag.group != _META_GROUP
    )
    return meta, held.tell()


def _at_pixels(tag: Any, *_: Any) -> bool:
    return bool(tag.group >= _PIXEL_GROUP)


def _after_pixels(tag: Any, *_: Any) -> bool:
    return bool(tag.group > _PIXEL_GROUP)
