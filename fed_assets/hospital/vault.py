"""One sealed file: encrypted chunk by chunk, and read at any place.

Behind its header (see `envelope`) lie chunks of 65,536 bytes, the last one shorter, each encrypted
by AES-256-GCM with a key of the file's own, and 16 bytes longer for it. A chunk's nonce is its
number; bound to it is whether it is the last one.
"""

from __future__ import annotations

import io
import os
import secrets
from collections import OrderedDict
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from fed_assets.hospital.custody import KEY_BYTES, KeyProvider
from fed_assets.hospital.envelope import (
    HEADER_BYTES,
    TAG_BYTES,
    Binding,
    broken,
    new_header,
    unlock,
    write_at,
)

CHUNK_BYTES = 1 << 16
CACHED_CHUNKS = 512  # of an open file: 32 MiB of plain text in memory at most


class SealingWriter(io.RawIOBase):
    """A new sealed file, written in a stream; left by an error, it is one that nobody can open.

    Args:
        path: Where there is no file yet.
        binding: What it is.
        keys: What wraps its key.

    Raises:
        KeyRefused: The hospital's key cannot be used.
        OSError: The file cannot be written.
    """

    def __init__(self, path: Path, binding: Binding, keys: KeyProvider) -> None:
        super().__init__()
        self._file = -1
        self._key = secrets.token_bytes(KEY_BYTES)
        self._wrapped = keys.wrap(self._key)
        self._cipher = AESGCM(self._key)
        self._binding = binding
        self._pending = bytearray()
        self._chunks = 0
        self._plain_bytes = 0
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)

    def writable(self) -> bool:
        """Returns that it can be written to."""
        return True

    def tell(self) -> int:
        """Returns how many bytes were written."""
        return self._plain_bytes

    def write(self, data: Any, /) -> int:
        """Takes bytes; whole chunks are sealed at once."""
        with memoryview(data) as view, view.cast("B") as plain:
            self._pending += plain
            self._plain_bytes += len(plain)
            taken = len(plain)
        while len(self._pending) > CHUNK_BYTES:
            with memoryview(self._pending) as view, view[:CHUNK_BYTES] as chunk:
                sealed = self._sealed(chunk, last=False)
            self._put(sealed)
            del self._pending[:CHUNK_BYTES]
        return taken

    def __exit__(self, kind: Any, error: Any, trace: Any) -> None:
        """Seals the file, if nothing went wrong."""
        try:
            if kind is None:
                self._finish()
        finally:
            self.close()

    def close(self) -> None:
        """Closes the file; without `__exit__` it has no header, and nobody can open it."""
        if self._file != -1:
            os.close(self._file)
            self._file = -1
        super().close()

    def _finish(self) -> None:
        last = self._sealed(self._pending, last=True)
        header = new_header(self._key, self._wrapped, self._binding, self._plain_bytes)
        if self._chunks == 1:
            write_at(self._file, 0, header + last)
        else:
            self._put(last)
            write_at(self._file, 0, header)

    def _sealed(self, plain: bytes | bytearray | memoryview, *, last: bool) -> bytes:
        sealed = self._cipher.encrypt(_nonce(self._chunks), plain, _place(last))
        self._chunks += 1
        return sealed

    def _put(self, sealed: bytes) -> None:
        write_at(self._file, _offset(self._chunks - 1), sealed)


class SealedReader(io.RawIOBase):
    """A sealed file, read at any place; only what is asked for is decrypted, into memory.

    Args:
        path: Where it lies.
        binding: What it must be.
        keys: What unwraps its key.

    Raises:
        SealBroken: It is not what was sealed as that; a read raises it for its own chunk.
        KeyRefused: The hospital's key cannot be used, or does not open it.
        FileNotFoundError: It is not there.
    """

    def __init__(self, path: Path, binding: Binding, keys: KeyProvider) -> None:
        super().__init__()
        self._name = binding.name
        self._file = -1
        self._at = 0
        self._opened: OrderedDict[int, bytes] = OrderedDict()
        self._file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            header = os.pread(self._file, HEADER_BYTES, 0)
            key, self.size = unlock(header, binding, keys)
            self._cipher = AESGCM(key)
            self._chunks = max(1, -(-self.size // CHUNK_BYTES))
            found = os.fstat(self._file).st_size
            if found != HEADER_BYTES + self.size + self._chunks * TAG_BYTES:
                raise broken(self._name, "another length than was sealed")
        except BaseException:
            self.close()
            raise

    def readable(self) -> bool:
        """Returns that it can be read."""
        return True

    def seekable(self) -> bool:
        """Returns that it can be read at any place."""
        return True

    def tell(self) -> int:
        """Returns the place of the next byte."""
        return self._at

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        """Moves to a place."""
        start = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self.size}[whence]
        self._at = max(0, start + offset)
        return self._at

    def readinto(self, buffer: Any, /) -> int:
        """Fills a buffer, as far as there is something to fill it with."""
        with memoryview(buffer) as view, view.cast("B") as plain:
            wanted = min(len(plain), max(0, self.size - self._at))
            done = 0
            while done < wanted:
                number, start = divmod(self._at, CHUNK_BYTES)
                piece = memoryview(self._chunk(number))[start : start + wanted - done]
                plain[done : done + len(piece)] = piece
                done += len(piece)
                self._at += len(piece)
        return done

    def readall(self) -> bytes:
        """Returns all that is left, and keeps nothing of it."""
        if self._at:
            return self.read(self.size - self._at) or b""
        self._at = self.size
        return b"".join(self._decrypted(number) for number in range(self._chunks))

    def close(self) -> None:
        """Closes the file, and lets go of what was decrypted."""
        if self._file != -1:
            os.close(self._file)
            self._file = -1
            self._opened.clear()
        super().close()

    def _chunk(self, number: int) -> bytes:
        known = self._opened.get(number)
        if known is not None:
            self._opened.move_to_end(number)
            return known
        self._opened[number] = plain = self._decrypted(number)
        if len(self._opened) > CACHED_CHUNKS:
            self._opened.popitem(last=False)
        return plain

    def _decrypted(self, number: int) -> bytes:
        sealed = os.pread(self._file, CHUNK_BYTES + TAG_BYTES, _offset(number))
        last = number == self._chunks - 1
        try:
            return self._cipher.decrypt(_nonce(number), sealed, _place(last))
        except InvalidTag:
            raise broken(self._name, f"chunk {number + 1} of {self._chunks} differs") from None


def _nonce(number: int) -> bytes:
    # A key seals one file alone, and each chunk of it once.
    return number.to_bytes(12)


def _place(last: bool) -> bytes:
    return b"last" if last else b"more"


def _offset(number: int) -> int:
    return HEADER_BYTES + number * (CHUNK_BYTES + TAG_BYTES)
