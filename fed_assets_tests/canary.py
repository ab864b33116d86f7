"""Canaries that a hospital's images carry, and the search for every form in which one could leave.

A patient's id, a file's name, a DICOM tag, and a row of pixels of seven grey levels, each four
pixels wide, so that they are known again in a picture that was enlarged.
"""

from __future__ import annotations

import base64
import binascii
import gzip
import hashlib
import io
import json
import re
import sqlite3
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from contextlib import closing, suppress
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

PATIENT = "CANARYPAT7Q3Z"
FILE_NAME = "canaryfile9x4k"
TAG = "CANARYTAG5W8M"
LEVELS = (37, 201, 88, 240, 13, 169, 122)
SIDE = 28
ROW = np.repeat(np.array(LEVELS, np.uint8), SIDE // len(LEVELS))

WORDS = {"patient": PATIENT, "file name": FILE_NAME, "tag": TAG}
PICTURE = "pixels as a picture"
_DEEPEST = 5
_SQLITE = b"SQLite format 3\0"
_BASE64 = re.compile(rb"[A-Za-z0-9+/]{120,}={0,2}")
_PNG = b"\x89PNG\r\n\x1a\n"
# How wide an image may stand in a picture, and from which correlation on it is the canary.
_WIDTHS = (SIDE, 2 * SIDE, 96)
_ALIKE = 0.95


def marked(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Returns an image of 28 x 28 pixels with the canary's row in it eight times."""
    assert pixels.shape == (SIDE, SIDE)
    image = pixels.copy()
    image[10:18] = ROW
    return image


def forms() -> dict[str, bytes]:
    """Returns every form that the search looks for literally, by its name."""
    found: dict[str, bytes] = {}
    for name, word in WORDS.items():
        content = word.encode()
        found[name] = content.lower()  # looked for in lower case, too
        found[f"{name} as utf-16"] = word.encode("utf-16-le")
        found[f"{name} as hex"] = content.hex().encode()
        for kind in ("md5", "sha1", "sha256"):
            found[f"{name} as {kind}"] = hashlib.new(kind, content).hexdigest().encode()
        found |= {f"{name} as base64, {at}": each for at, each in _base64_of(content)}
    for name, content in _binary_rows().items():
        found[f"pixels as {name}"] = content
        found[f"pixels as hex of {name}"] = content.hex().encode()
        found |= {f"pixels as base64 of {name}, {at}": each for at, each in _base64_of(content)}
    numbers = ROW.tolist()
    shares = [each / 255 for each in numbers]
    singles = [float(np.float32(each)) for each in shares]
    found["pixels as JSON"] = _listed(str(each) for each in numbers)
    found["pixels as floats"] = _listed(f"{each}." for each in numbers)
    found["pixels as JSON floats"] = _listed(str(float(each)) for each in numbers)
    found["pixels as shares"] = _listed(json.dumps(each) for each in shares)
    found["pixels as single shares"] = _listed(json.dumps(each) for each in singles)
    found["pixels as printed shares"] = _listed(f"{each:.4f}" for each in shares)
    found["pixels as a printed array"] = " ".join(map(str, numbers)).encode()
    return found


def _binary_rows() -> dict[str, bytes]:
    kinds = {"float16": np.float16, "float32": np.float32, "float64": np.float64}
    rows = {"bytes": ROW.tobytes()}
    for name, kind in kinds.items():
        rows[name] = ROW.astype(kind).tobytes()
        rows[f"{name} shares"] = (ROW.astype(kind) / kind(255)).tobytes()
        rows[f"{name} as learned from"] = ((ROW.astype(kind) - kind(127.5)) / kind(63.75)).tobytes()
    return rows


def _listed(numbers: Iterable[str]) -> bytes:
    return ",".join(numbers).encode()


def _base64_of(content: bytes) -> Iterator[tuple[int, bytes]]:
    """Yields what base64 makes of content at each of the places where it can begin in it."""
    for before in range(3):
        encoded = base64.b64encode(bytes(before) + content)
        # The first signs and the last depend on what stands beside.
        yield before, encoded[4 if before else 0 : len(encoded) - 4]


def canaries_in(folder: Path, *, but: Iterable[Path] = ()) -> dict[str, set[str]]:
    """Returns which forms are in a folder's files, their names and what they pack, and where.

    Args:
        folder: All below it is searched.
        but: Folders that are left out.
    """
    left_out = list(but)
    found: dict[str, set[str]] = {}
    for path in sorted(folder.rglob("*")):
        if any(path.is_relative_to(each) for each in left_out):
            continue
        name = path.relative_to(folder).as_posix()
        parts = [(f"the name of {name}", name.encode("utf-8", "surrogateescape"))]
        if path.is_symlink():
            parts.append((f"the aim of {name}", str(path.readlink()).encode()))
        elif path.is_file():
            parts += unpacked(name, path.read_bytes())
        for place, content in parts:
            for form in canaries_of(content):
                found.setdefault(form, set()).add(place)
    return found


def canaries_of(content: bytes) -> set[str]:
    """Returns which forms are in some bytes, a picture among them; nothing is unpacked."""
    without_space = re.sub(rb"\s+", b"", content)
    views = (content, content.lower(), without_space, re.sub(rb"\s+", b" ", content))
    found = {name for name, form in forms().items() if any(form in view for view in views)}
    return found | ({PICTURE} if _is_in_pictures(content) else set())


def unpacked(name: str, content: bytes, depth: int = 0) -> Iterator[tuple[str, bytes]]:
    """Yields content, and whatever is packed in it: zip, gzip, zlib, sqlite, base64."""
    yield name, content
    if depth == _DEEPEST:
        return
    for inner, packed in _packed(content):
        yield from unpacked(f"{name} > {inner}", packed, depth + 1)


def _packed(content: bytes) -> Iterator[tuple[str, bytes]]:
    if zipfile.is_zipfile(io.BytesIO(content)):
        with suppress(zipfile.BadZipFile, zlib.error), zipfile.ZipFile(io.BytesIO(content)) as file:
            for member in file.namelist():
                yield f"the name of {member}", member.encode()
                yield member, file.read(member)
    if content[:2] == b"\x1f\x8b":
        with suppress(OSError, EOFError, zlib.error):
            yield "gzip", gzip.decompress(content)
    if content[:1] == b"\x78":
        with suppress(zlib.error):
            yield "zlib", zlib.decompress(content)
    if content.startswith(_SQLITE):
        yield from _cells(content)
    for match in _BASE64.finditer(content):
        with suppress(binascii.Error):
            encoded = match.group().rstrip(b"=")
            yield "base64", base64.b64decode(encoded + b"=" * (-len(encoded) % 4))


def _cells(content: bytes) -> Iterator[tuple[str, bytes]]:
    """Yields every cell of a database: in its file, a long one is cut into pages."""
    with closing(sqlite3.connect(":memory:")) as database:
        # One that is written ahead to another file would not open from memory.
        database.deserialize(content[:18] + b"\x01\x01" + content[20:])
        tables = database.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
        for (table,) in tables:
            small = []
            for row in database.execute(f'SELECT * FROM "{table}"'):
                for cell in row:
                    if isinstance(cell, bytes):
                        yield table, cell
                    elif cell is not None:
                        small.append(str(cell))
            yield table, "\n".join(small).encode("utf-8", "surrogateescape")


def _is_in_pictures(content: bytes) -> bool:
    start = content.find(_PNG)
    while start >= 0:
        with suppress(OSError, ValueError, SyntaxError):
            picture = Image.open(io.BytesIO(content[start:]), formats=("PNG",))
            if _is_in_picture(np.asarray(picture.convert("L"))):
                return True
        start = content.find(_PNG, start + 1)
    return False


def _is_in_picture(pixels: NDArray[np.uint8]) -> bool:
    """Returns whether some part of a row goes up and down as the canary does, at any contrast."""
    for width in _WIDTHS:
        if pixels.shape[1] < width:
            continue
        wanted = np.repeat(ROW, np.diff(np.linspace(0, width, SIDE + 1).astype(int))).astype(float)
        wanted = (wanted - wanted.mean()) / wanted.std()
        for row in pixels[::4].astype(float):
            parts = np.lib.stride_tricks.sliding_window_view(row, width)
            spread = parts.std(axis=1)
            alike = (parts @ wanted) / (width * np.maximum(spread, 1.0))
            if alike.max() > _ALIKE:
                return True
    return False
