"""A file with a list that a person keeps of hospitals: one process at a time changes it."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Set
from contextlib import contextmanager
from pathlib import Path

from fed_assets.errors import StorageError
from fed_assets.federation.outbox import written

Unusable = Callable[[Path, str], StorageError]


def read_entries(file: Path, names: Set[str], unusable: Unusable) -> tuple[Mapping[str, str], ...]:
    """Returns the entries, each with all of the names; none where there is no file.

    Args:
        file: The file.
        names: What an entry says, in words.
        unusable: Makes the error, of the file and of what was seen of it.

    Raises:
        StorageError: It cannot be read, is none, or others may have changed it.
    """
    try:
        if file.stat().st_mode & 0o077:
            raise unusable(file, "others than this user may read or change it")
        entries = json.loads(file.read_text())
    except FileNotFoundError:
        return ()
    except (OSError, ValueError) as error:
        raise unusable(file, type(error).__name__) from None
    sound = isinstance(entries, list) and all(
        isinstance(entry, dict)
        and entry.keys() == names
        and all(isinstance(value, str) for value in entry.values())
        for entry in entries
    )
    if not sound:
        raise unusable(file, "no such list")
    return tuple(entries)


def write_entries(file: Path, entries: Iterable[Mapping[str, str]], what: str) -> None:
    """Writes the list, readable by its owner alone, whole or not at all.

    Root leaves it to whose it is, or else to whose its folder is: those who may read it now.

    Raises:
        StorageError: It could not be written; `what` says what it is.
    """
    with written(what, file):
        partial = file.with_name(f".{file.name}.partial")
        with open(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as target:
            json.dump([*entries], target, indent=1)
            target.flush()
            os.fsync(target.fileno())
            if os.geteuid() == 0:
                found = (file if file.exists() else file.parent).stat()
                os.fchown(target.fileno(), found.st_uid, found.st_gid)
        partial.replace(file)


@contextmanager
def alone(file: Path, what: str) -> Iterator[None]:
    """Lets one process at a time change the list.

    Raises:
        StorageError: Its folder cannot be written; `what` says what it is.
    """
    with written(what, file):
        file.parent.mkdir(exist_ok=True, mode=0o700)
        lock = os.open(file.with_name(f".{file.name}.lock"), os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)
