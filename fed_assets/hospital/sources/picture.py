"""One JPEG or PNG file of a hospital's folder."""

from __future__ import annotations

import hashlib
from pathlib import Path

from fed_assets.hospital.sources.protocol import Decoded
from fed_assets.pictures.picture import MAX_FILE_BYTES, read_picture


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
    """Decodes a JPEG or a PNG; one that cannot be read, see `read_picture`, is without pixels."""
    raw, sha256 = read_bytes(path)
    picture = read_picture(raw or b"")
    return Decoded(picture.pixels, picture.width, picture.height, picture.bit_depth, sha256)
