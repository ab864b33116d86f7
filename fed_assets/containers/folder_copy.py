"""A folder of this machine that a container backs: what was changed goes there, and comes back.

The folder is what programs work in; the container is what lasts. An index beside the files says
which state of each was last the same on both sides. Only what differs from it is moved, and never
over something that the index does not know: what two machines changed is refused, and both stay.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import secrets
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from fed_assets.containers.container import ChangedThere, Container, Found
from fed_assets.containers.index import INDEX, Known, new_file, read_index, write_index
from fed_assets.errors import ContainerRefused, StorageError, system_reason

LOCK = ".container.lock"
HALF_WRITTEN = ".partial-"  # and the id of the process that writes it


@dataclass(frozen=True)
class Moved:
    """What a call moved.

    Attributes:
        files: How many.
        sent_bytes: To the container.
        received_bytes: From it.
    """

    files: int = 0
    sent_bytes: int = 0
    received_bytes: int = 0


@dataclass(frozen=True)
class FolderCopy:
    """A folder, and the part of a container that backs it.

    Attributes:
        folder: The folder, which must be there.
        container: The container.
        prefix: What the names of its files begin with there; ends with a slash, or is empty.
        files: Returns all files of the folder that are to last, in the order in which they go:
            what others name first.
        own: The folder that index and lock lie in; the folder itself if left out.
    """

    folder: Path
    container: Container
    prefix: str
    files: Callable[[], Iterable[Path]]
    own: Path | None = None

    def fetch(self) -> Moved:
        """Brings what the container has and the folder has not, or in an older state.

        Raises:
            ContainerRefused: The container cannot be used, holds what cannot be a file of the
                folder, or one that was changed on both sides.
            StorageError: A file cannot be written.
        """
        with self._alone() as known:
            there = self.container.found(self.prefix)
            for name in [name for name in known if self.prefix + name not in there]:
                del known[name]  # whoever emptied the container: what lies here goes there again
            moved = [
                self._bring(full.removeprefix(self.prefix), found, known)
                for full, found in there.items()
            ]
            return Moved(sum(each > 0 for each in moved), received_bytes=sum(moved))

    def keep(self) -> Moved:
        """Takes to the container what was changed here, and removes there what was removed here.

        Raises:
            ContainerRefused: The container cannot be used, or holds something else by now.
        """
        with self._alone() as known:
            here = {self._name(path): path for path in self.files()}
            moved = [self._take(name, path, known) for name, path in here.items()]
            for name in known.keys() - here.keys():
                with self._conflicts(name):
                    self.container.remove(self.prefix + name, known[name].etag)
                del known[name]
            return Moved(sum(each >= 0 for each in moved), sent_bytes=sum(max(0, e) for e in moved))

    def _bring(self, name: str, found: Found, known: dict[str, Known]) -> int:
        """Returns how many bytes came."""
        path = self._path(name)
        state, last = _state(path), known.get(name)
        if state is not None and last is not None and last.etag == found.etag:
            return 0
        if state is not None and (last is None or last.state != state):
            if _digest(path) != found.digest:
                raise self._conflict(name)
            known[name] = Known(found.etag, found.digest, state)
            return 0
        self._download(name, path, found, last)
        state = _state(path)
        assert state is not None
        known[name] = Known(found.etag, found.digest, state)
        return found.size

    def _download(self, name: str, path: Path, found: Found, last: Known | None) -> None:
        fresh = self._aside()
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            with open(new_file(fresh), "wb") as file, self._conflicts(name):
                digest = self.container.get(self.prefix + name, found, file)
            if digest != found.digest:
                raise self._damaged(name, path, found, last)
            fresh.replace(path)
        except OSError as error:
            raise StorageError(
                "What the container holds cannot be written here",
                where=str(self.folder),
                seen=system_reason(error),
            ) from None
        finally:
            fresh.unlink(missing_ok=True)

    def _take(self, name: str, path: Path, known: dict[str, Known]) -> int:
        """Returns how many bytes went; -1 where the file was not changed, or is gone again."""
        state, last = _state(path), known.get(name)
        if state is None or (last is not None and last.state == state):
            return -1
        try:
            with self._conflicts(name):
                put = self.container.put(self.prefix + name, path, last.etag if last else None)
        except FileNotFoundError:
            return -1
        # Of before it was read: what is appended meanwhile makes it a changed one.
        known[name] = Known(put.etag, put.digest, state)
        return put.sent_bytes

    def _name(self, path: Path) -> str:
        return path.relative_to(self.folder).as_posix()

    def _path(self, name: str) -> Path:
        """Returns where a file of the container lies here.

        Raises:
            ContainerRefused: Nowhere: its name leads out of the folder.
        """
        pure = PurePosixPath(name)
        path = self.folder / pure
        inside = path.resolve().is_relative_to(self.folder.resolve())
        if pure.is_absolute() or ".." in pure.parts or pure.as_posix() != name or not inside:
            raise ContainerRefused(
                "A file of the container has a name that leads out of the folder",
                where=self.container.url,
                cure="Find out who may write to the container, and remove that file",
            )
        return path

    @contextmanager
    def _conflicts(self, name: str) -> Iterator[None]:
        try:
            yield
        except ChangedThere:
            raise self._conflict(name) from None

    def _conflict(self, name: str) -> ContainerRefused:
        return ContainerRefused(
            "A file was changed here, and by another machine in the container; both are kept",
            where=f"{self.container.url}, {PurePosixPath(name).parts[0]}",
            cure="Let one machine alone work with the container; move this one's folder aside to "
            "go on from what the container holds",
        )

    def _damaged(self, name: str, path: Path, found: Found, last: Known | None) -> ContainerRefused:
        # What others put there may bear an image's name; what we did is known, or has a digest.
        ours = last is not None or found.digest != ""
        whole = last is not None and _state(path) == last.state and _digest(path) == last.digest
        return ContainerRefused(
            "A file of the container is not what was put there",
            where=f"{self.container.url}/{self.prefix}{name}" if ours else self.container.url,
            seen="another digest",
            cure="This machine's own copy of it is whole: unless another machine worked with the "
            "container since, remove that one file there, and the next task puts it there again; "
            "else put it back from a backup or a snapshot"
            if whole
            else "Put the container back from a backup or a snapshot",
        )

    @contextmanager
    def _alone(self) -> Iterator[dict[str, Known]]:
        """Yields the index, which is written again after, whatever happens meanwhile."""
        own = self.own or self.folder
        try:
            lock = os.open(own / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise StorageError(
                "The folder cannot be written", where=str(own), seen=system_reason(error)
            ) from None
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            known = read_index(own / INDEX, self.container.url)
            before = dict(known)
            try:
                yield known
            finally:
                if known != before:
                    write_index(own / INDEX, self.container.url, known, self._aside())
        finally:
            os.close(lock)

    def _aside(self) -> Path:
        return (self.own or self.folder) / f"{HALF_WRITTEN}{os.getpid()}-{secrets.token_hex(4)}"


def _state(path: Path) -> tuple[int, int, int] | None:
    with suppress(OSError):
        found = path.stat()
        return found.st_size, found.st_mtime_ns, found.st_ino
    return None


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
