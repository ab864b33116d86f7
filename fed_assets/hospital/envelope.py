"""One sealed file's header: its key, wrapped, and what the file is bound to be.

A header has 2048 bytes:

    0   magic, which also names the format
    8   length of the plain text
    16  an HMAC over that length, the hospital, the dataset's version and the object's name
    128, 1088  two slots for the file's key, wrapped by the hospital's; one is empty

A key is rotated by writing the free slot and then clearing the other: whenever the machine stops,
one of them opens the file. Who can write files, but has no key, can still put back all of a store
as it once was.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import struct
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

from fed_assets.errors import KeyRefused, SealBroken
from fed_assets.hospital.custody import KeyProvider, WrappedKey

MAGIC = b"FEDSEAL1"
HEADER_BYTES = 2048
TAG_BYTES = 16
_FIXED = struct.Struct(">8sQ32s")
_SLOTS = (128, 1088)
_SLOT_BYTES = 960
_CHECKSUM_BYTES = 16
_LENGTHS = struct.Struct(">HH")  # of the key's id, and of the wrapped key


@dataclass(frozen=True)
class Binding:
    """What a sealed file is, and to be opened as nothing else.

    Attributes:
        hospital: Whose it is.
        version: Of the dataset that it is of; empty for what is of none.
        name: The object's name in the store, which errors may show: nothing of a patient.
    """

    hospital: str
    version: str
    name: str

    def associated_data(self, plain_bytes: int) -> bytes:
        """Returns all of it and the file's length, so that no two of them read alike."""
        parts = [part.encode() for part in (self.hospital, self.version, self.name)]
        return MAGIC + struct.pack(">4Q", plain_bytes, *map(len, parts)) + b"".join(parts)


def new_header(key: bytes, wrapped: WrappedKey, binding: Binding, plain_bytes: int) -> bytes:
    """Returns the header of a file that is done.

    Raises:
        KeyRefused: The wrapped key has no room in it.
    """
    header = _bound(key, binding, plain_bytes).ljust(_SLOTS[0], b"\0") + _slot(wrapped)
    return header.ljust(HEADER_BYTES, b"\0")


def unlock(header: bytes, binding: Binding, keys: KeyProvider) -> tuple[bytes, int]:
    """Returns a file's key and the length of its plain text, if it is what it must be.

    Raises:
        SealBroken: It is not.
        KeyRefused: The hospital's key cannot be used, or does not open it.
    """
    if len(header) < HEADER_BYTES or not header.startswith(MAGIC):
        raise broken(binding.name, "no sealed file, or one that was cut off")
    _, plain_bytes, tag = _FIXED.unpack_from(header)
    _, key = _data_key(header, binding.name, keys)
    if not hmac.compare_digest(tag, _tag(key, binding, plain_bytes)):
        raise broken(
            binding.name,
            "its header differs, or it was sealed as another object, dataset or hospital",
        )
    return key, plain_bytes


def is_sealed(path: Path) -> bool:
    """Returns whether it is a file, and one that was sealed, by whomever."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return file.read(len(MAGIC)) == MAGIC


def bind(path: Path, old: Binding, new: Binding, keys: KeyProvider) -> None:
    """Has a sealed file be something else from now on; its chunks stay as they are.

    Raises:
        SealBroken: It is not what `old` says.
        KeyRefused: The hospital's key cannot be used, or does not open it.
    """
    file = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    try:
        key, plain_bytes = unlock(os.pread(file, HEADER_BYTES, 0), old, keys)
        write_at(file, 0, _bound(key, new, plain_bytes))
    finally:
        os.close(file)


def rewrap(path: Path, name: str, keys: KeyProvider) -> bool:
    """Wraps a sealed file's key by the key that now wraps; its chunks stay as they are.

    Args:
        path: Where it lies.
        name: What errors call it.
        keys: What unwraps its key, and wraps it anew.

    Returns:
        Whether there was anything to do.

    Raises:
        SealBroken: Its header was changed.
        KeyRefused: The hospital's key cannot be used, or does not open it.
    """
    file = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    try:
        header = os.pread(file, HEADER_BYTES, 0)
        if [key.key_id for key in _slots(header).values()] == [keys.key_id]:
            return False
        opened, key = _data_key(header, name, keys)
        free = _SLOTS[1 - _SLOTS.index(opened)]
        write_at(file, free, _slot(keys.wrap(key)))
        os.fsync(file)
        write_at(file, opened, bytes(_SLOT_BYTES))
        os.fsync(file)
        return True
    finally:
        os.close(file)


def write_at(file: int, offset: int, content: bytes) -> None:
    """Writes all of some bytes at one place of an open file."""
    left = memoryview(content)
    while left:
        written = os.pwrite(file, left, offset)
        offset, left = offset + written, left[written:]


def broken(name: str, seen: str) -> SealBroken:
    """Returns the error of an object of this name that is not what was sealed."""
    return SealBroken("A sealed file is not what the hospital sealed", where=name, seen=seen)


def _bound(key: bytes, binding: Binding, plain_bytes: int) -> bytes:
    return _FIXED.pack(MAGIC, plain_bytes, _tag(key, binding, plain_bytes))


def _tag(key: bytes, binding: Binding, plain_bytes: int) -> bytes:
    # No tag of AES-GCM: what is bound anew would have two under one nonce, which gives the key of
    # all its chunks' tags away (Joux 2006, "Authentication failures in NIST version of GCM").
    own = HKDFExpand(SHA256(), 32, b"header").derive(key)
    return hmac.digest(own, binding.associated_data(plain_bytes), "sha256")


def _data_key(header: bytes, name: str, keys: KeyProvider) -> tuple[int, bytes]:
    """Returns where in the header the file's key stands, and the key."""
    refusal = None
    for place, wrapped in _slots(header).items():
        try:
            return place, keys.unwrap(wrapped)
        except KeyRefused as error:
            refusal = error
    if refusal is None:
        raise broken(name, "its header differs")
    raise KeyRefused(
        "A sealed file cannot be opened",
        where=name,
        seen=f"{refusal.what} ({refusal.where})",
        cure=refusal.cure,
    ) from refusal


def _slot(key: WrappedKey) -> bytes:
    key_id = key.key_id.encode()
    content = _LENGTHS.pack(len(key_id), len(key.wrapped)) + key_id + key.wrapped
    slot = _checksum(content) + content
    if len(slot) > _SLOT_BYTES:
        raise KeyRefused("A wrapped key is too long for a file's header", seen=f"{len(slot)} bytes")
    return slot.ljust(_SLOT_BYTES, b"\0")


def _slots(header: bytes) -> dict[int, WrappedKey]:
    """Returns the wrapped keys by their places; a slot half written when power failed is none."""
    found = {}
    for place in _SLOTS:
        slot = header[place : place + _SLOT_BYTES].ljust(_SLOT_BYTES, b"\0")
        name, wrapped = _LENGTHS.unpack_from(slot, _CHECKSUM_BYTES)
        start = _CHECKSUM_BYTES + _LENGTHS.size
        content = slot[_CHECKSUM_BYTES : start + name + wrapped]
        if _checksum(content) == slot[:_CHECKSUM_BYTES]:
            key_id = slot[start : start + name].decode(errors="replace")
            found[place] = WrappedKey(key_id, content[_LENGTHS.size + name :])
    return found


def _checksum(content: bytes) -> bytes:
    return hashlib.sha256(content).digest()[:_CHECKSUM_BYTES]
