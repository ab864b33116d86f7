"""One line per thing that the hospital was asked for or sent, kept in its own store.

A line is on the disk before the thing leaves, so the log may name one that then did not, as after
a crash, and never misses one. Who asked is as he named himself. What NVFlare itself says of the
site, such as that it is there, is not in it. In a sealed store each line is sealed.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from fed_assets.errors import StorageError, system_reason
from fed_assets.hospital.files import Store
from fed_assets.hospital.sealed_lines import Lines, lines_of
from fed_assets.privacy.chain import (
    ASKED,
    KEPT,
    LEFT,
    OUTBOX_LOG,
    TORN,
    Entry,
    Head,
    end_of,
    may_be_torn,
    sha256,
)

# Several lines, of some 450 bytes each, or 650 where they are sealed.
TAIL_BYTES = 1 << 16
LONGEST_NAME = 80


@dataclass(frozen=True)
class Thing:
    """What is asked, or leaves.

    Attributes:
        what: In a word or two.
        size_bytes: How large it is.
        digest: Its sha256 (hex).
        round_number: The federation's, where there is one.
    """

    what: str
    size_bytes: int
    digest: str
    round_number: int | None = None


def text(what: str, content: bytes, round_number: int | None = None) -> Thing:
    """Returns what consists of these very bytes."""
    return Thing(what, len(content), sha256(content), round_number)


def arrays(
    what: str, weights: Mapping[str, np.ndarray[Any, Any]], digest: str, round_number: int | None
) -> Thing:
    """Returns what consists of named arrays, of this `weights_digest`."""
    return Thing(what, sum(array.nbytes for array in weights.values()), digest, round_number)


@dataclass(frozen=True)
class OutboxLog:
    """Writes into a hospital's outbox log; several processes may at once.

    Attributes:
        store: The hospital's store, which is there.
        peer: Who asks, and is answered.
    """

    store: Store
    peer: str

    def asked(self, *things: Thing) -> Head:
        """Notes what was asked, before it is looked at.

        Raises:
            StorageError: It could not be noted; nothing may leave then.
            SealBroken: The log is not what the hospital sealed; nothing may leave then.
            KeyRefused: The hospital's key cannot be used; nothing may leave then.
        """
        return self._note(ASKED, things)

    def left(self, *things: Thing) -> Head:
        """Notes what leaves, before it does.

        Raises:
            StorageError, SealBroken, KeyRefused: It could not be noted, and must not leave.
        """
        return self._note(LEFT, things)

    def kept(self, *things: Thing) -> Head:
        """Notes what now lies in the store, so that it shows if it is lost or changed there.

        Raises:
            StorageError, SealBroken, KeyRefused: It could not be noted, and must not be used.
        """
        return self._note(KEPT, things)

    def _note(self, kind: str, things: tuple[Thing, ...]) -> Head:
        with self._opened() as (file, lines):
            size = os.fstat(file).st_size
            tail = os.pread(file, TAIL_BYTES, max(lines.start, size - TAIL_BYTES))
            head, torn = end_of(lines.opened(tail))
            entries: list[Entry] = []
            if torn:
                if not may_be_torn(torn):
                    raise self._damaged(head)
                entries.append(self._entry(TORN, text("a line that was cut off", torn), head))
            for thing in things:
                entries.append(self._entry(kind, thing, entries[-1].head if entries else head))
            begin = b"\n" if torn or (tail and not tail.endswith(b"\n")) else b""
            written = [lines.sealed(entry.line()) + b"\n" for entry in entries]
            _append(file, begin + b"".join(written), size)
            return entries[-1].head

    @property
    def _path(self) -> Path:
        return self.store.folder / OUTBOX_LOG

    def _entry(self, kind: str, thing: Thing, before: Head) -> Entry:
        return Entry(
            number=before.entries + 1,
            at=datetime.now(UTC).isoformat(timespec="milliseconds"),
            hospital=self.store.hospital,
            kind=kind,
            what=_plain(thing.what),
            peer=_plain(self.peer),
            round_number=thing.round_number,
            size_bytes=thing.size_bytes,
            digest=thing.digest,
            previous=before.hash,
        )

    @contextlib.contextmanager
    def _opened(self) -> Iterator[tuple[int, Lines]]:
        """Yields the log's descriptor while no other process has it, and how lines stand in it."""
        try:
            with self.store.turn():
                if not self._path.exists():
                    self.store.write(self._path, b"", once=True)
                file = os.open(self._path, os.O_RDWR | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC)
                try:
                    fcntl.flock(file, fcntl.LOCK_EX)
                    yield file, lines_of(self.store, self._path, file)
                finally:
                    os.close(file)
        except OSError as error:
            raise StorageError(
                "The outbox log cannot be written, so nothing leaves the hospital",
                where=str(self._path),
                seen=system_reason(error),
            ) from error

    def _damaged(self, head: Head) -> StorageError:
        return StorageError(
            "The outbox log is not as it was written, so nothing leaves the hospital",
            where=str(self._path),
            seen=f"what follows entry {head.entries} is no entry",
            cure=f"Have the hospital's data officer look at it by `fed-assets outbox "
            f"{self.store.hospital} --verify`, and put it aside",
        )


def read_outbox(store: Store) -> bytes:
    """Returns all of a hospital's outbox log, its lines as they were before they were sealed.

    What is no line of it any more is in it too.

    Raises:
        StorageError: It is not there, or cannot be read.
        SealBroken: It is not what the hospital sealed.
        KeyRefused: The hospital's key cannot be used, or does not open it.
    """
    path = store.folder / OUTBOX_LOG
    try:
        with store.turn(), path.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH)
            lines = lines_of(store, path, file.fileno())
            file.seek(lines.start)
            return lines.opened(file.read())
    except OSError as error:
        raise StorageError(
            "The outbox log cannot be read",
            where=str(path),
            seen=system_reason(error),
            cure="Ask as the user whom the hospital's processes run as",
        ) from error


def _append(file: int, lines: bytes, size: int) -> None:
    """Writes lines whole, and onto the disk; where that fails, the log is as it was."""
    try:
        while lines:
            lines = lines[os.write(file, lines) :]
        os.fsync(file)
    except OSError:
        with contextlib.suppress(OSError):
            os.ftruncate(file, size)  # of what did not leave, nothing shall be told
        raise


def _plain(name: str) -> str:
    """Returns a name that holds no sign by which an entry ends."""
    return re.sub(r"[^\w .,:()-]", "_", name, flags=re.ASCII)[:LONGEST_NAME]
