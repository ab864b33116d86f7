"""A hospital's files by their content; one is read again only where its content may be another.

What was read is kept by the file's place (under a pseudonym), size, times and inode. That a file's
times are the same proves nothing where it was written at the moment at which it was read: a second
write within one step of the clock leaves no trace. So, as git does with what it calls racily clean,
what was read within `TRUSTED_AFTER_SECONDS` of the file's last change is read again the next time.
A clock that is put back, or a file whose times lie ahead, costs reading and hides nothing.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fed_assets.errors import FedAssetsError
from fed_assets.hospital.files import Store
from fed_assets.hospital.sources.dicom import Dicom
from fed_assets.hospital.sources.folder import Folder
from fed_assets.hospital.sources.protocol import Source
from fed_assets.hospital.store import SEEN, pseudonym_salt, writing

TRUSTED_AFTER_SECONDS = 2.0
SECOND = 1_000_000_000


@dataclass(frozen=True)
class SourceFile:
    """One file of a source.

    Attributes:
        path: Where it lies.
        name: The pseudonym of that place.
        says: What its place says of it (split, class and patient), as a pseudonym.
    """

    path: Path = field(repr=False)
    name: str
    says: str


@dataclass(frozen=True)
class ReadFile:
    """One file as it was found.

    Attributes:
        file: Which.
        sha256: Of its content, in hex; empty where there was no time to read it.
        settled: Whether it has been as it is for long enough to be whole.
    """

    file: SourceFile
    sha256: str
    settled: bool


def files_of(source: Source, store: Store) -> list[SourceFile]:
    """Returns the files of a source that has one per image, in its own order; of others, none."""
    if not isinstance(source, Folder | Dicom):
        return []
    salt = pseudonym_salt(store)
    if isinstance(source, Folder):
        told = [
            (record.label, source.files[record.position], record.patient)
            for record in source.records()
        ]
        return [
            _named(file.path, file.image_id, f"{file.split}/{_class(source, label)}/{who}", salt)
            for label, file, who in told
        ]
    # Who is on a DICOM image stands in the file.
    return [
        _named(file.path, file.image_id, f"{file.split}/{file.class_name}", salt)
        for file in source.files
    ]


def packed_file(path: Path) -> SourceFile:
    """Returns the one file that holds all images of a source."""
    return SourceFile(path, "packed", "")


@dataclass(frozen=True)
class Reading:
    """Files as they were found, and what is to be kept of that.

    Attributes:
        files: One each, in the order in which they were asked for.
        kept: What the next reading goes by.
    """

    files: list[ReadFile]
    kept: dict[str, Any] = field(repr=False)

    def keep(self, store: Store) -> None:
        """Keeps in the store what was read.

        Raises:
            StorageError: It cannot be written.
        """
        with writing(store):
            store.write(store.folder / SEEN, json.dumps(self.kept).encode())


def read_files(
    files: Iterable[SourceFile],
    store: Store,
    *,
    settle_seconds: float = 0.0,
    most_seconds: float | None = None,
) -> Reading:
    """Returns the files as they are now; one that has gone meanwhile is left out.

    Args:
        files: Which.
        store: The hospital's store, which holds what earlier readings kept; it is not changed.
        settle_seconds: For how long a file has to be as it is.
        most_seconds: After how long none is read any more; the next reading goes on.
    """
    known = _known(store)
    until = None if most_seconds is None else time.monotonic() + most_seconds
    found, kept = [], {}
    for file in files:
        with suppress(FileNotFoundError):
            entry = _entry(file.path, known.get(file.name), until)
            settled = entry.settled(time.time_ns(), settle_seconds)
            found.append(ReadFile(file, entry.sha256, settled))
            kept[file.name] = entry.as_record()
    return Reading(found, kept)


@dataclass(frozen=True)
class _Entry:
    """A file's size, times and inode, its content, and when it was first and last looked at."""

    stat: tuple[int, int, int, int]
    sha256: str
    read_at: int
    since: int

    @property
    def changed_at(self) -> int:
        return max(self.stat[1:3])

    def trusted(self) -> bool:
        margin = int(TRUSTED_AFTER_SECONDS * SECOND)
        return bool(self.sha256) and self.read_at >= self.changed_at + margin

    def settled(self, now: int, seconds: float) -> bool:
        least = int(seconds * SECOND)
        return now - self.changed_at >= least or now - self.since >= least

    def as_record(self) -> list[Any]:
        return [list(self.stat), self.sha256, self.read_at, self.since]


def _entry(path: Path, record: Any, until: float | None) -> _Entry:
    at, now = path.stat(), time.time_ns()
    stat = (at.st_size, at.st_mtime_ns, at.st_ctime_ns, at.st_ino)
    since = now
    with suppress(TypeError, ValueError):  # a record of another kind is as good as none
        before = _Entry(tuple(record[0]), *record[1:])
        if before.stat == stat:
            if before.trusted():
                return before
            since = before.since
    if until is not None and time.monotonic() > until:
        return _Entry(stat, "", 0, since)
    return _Entry(stat, _sha256(path), now, since)


def _sha256(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except FileNotFoundError:
        raise
    except OSError:  # it may not be read: an unreadable image, which has no bytes
        return hashlib.sha256(b"").hexdigest()


def _known(store: Store) -> Mapping[str, Any]:
    """Returns what earlier calls kept; nothing where it is damaged: all is read then."""
    with suppress(OSError, ValueError, FedAssetsError):
        kept = json.loads(store.read(store.folder / SEEN))
        return kept if isinstance(kept, dict) else {}
    return {}


def _class(source: Folder, label: int) -> str:
    return source.classes[label] if label >= 0 else ""


def _named(path: Path, place: str, says: str, salt: bytes) -> SourceFile:
    name, about = (_pseudonym(text, salt) for text in (place, says))
    return SourceFile(path, name, about)


def _pseudonym(text: str, salt: bytes) -> str:
    return hmac.new(salt, text.encode("utf-8", "backslashreplace"), "sha256").hexdigest()[:24]
