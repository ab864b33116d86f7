"""One hospital's store: where its datasets lie, and how they are put there whole or not at all."""

from __future__ import annotations

import errno
import json
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from fed_assets.errors import NoImages, StorageError

KEPT_DATASETS = 2
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


def open_store(store: Path) -> Path:
    """Makes the store if need be, for its owner alone, and returns it.

    Raises:
        StorageError: It cannot be made.
    """
    with writing(store):
        (store / "datasets").mkdir(mode=0o700, parents=True, exist_ok=True)
        store.chmod(0o700)
    return store


@contextmanager
def writing(store: Path) -> Iterator[None]:
    """Turns a failed write into one message that says what to do about it.

    Raises:
        StorageError: The disk is full, or the store may not be written to.
    """
    try:
        yield
    except OSError as error:
        full = error.errno in _FULL
        raise StorageError(
            "There is no room for the hospital's images" if full else "The store cannot be written",
            where=str(store),
            # Not str(error): that would name a file.
            seen=os.strerror(error.errno) if error.errno else type(error).__name__,
        ) from error


def require_room(store: Path, needed_bytes: int) -> None:
    """Refuses a write that cannot end well before it begins.

    Raises:
        StorageError: Fewer than `needed_bytes` are free on the store's disk.
    """
    free = shutil.disk_usage(store).free
    if needed_bytes > free:
        raise StorageError(
            "There is no room for the hospital's images",
            where=str(store),
            seen=f"{needed_bytes / 1e9:.1f} GB needed, {free / 1e9:.1f} GB free",
        )


@contextmanager
def new_dataset(store: Path) -> Iterator[Path]:
    """Yields an empty folder to write a dataset into; it is removed unless `keep_dataset` took it.

    What earlier processes left there when they were killed is removed too.
    """
    datasets = store / "datasets"
    remove_abandoned(store)
    partial = datasets / f".partial-{os.getpid()}-{secrets.token_hex(4)}"
    with writing(store):
        partial.mkdir(mode=0o700)
    try:
        yield partial
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def remove_abandoned(store: Path) -> None:
    """Removes what processes that were killed left half-written."""
    for left in (store / "datasets").glob(".partial-*"):
        if not _is_running(int(left.name.split("-")[1])):
            shutil.rmtree(left, ignore_errors=True)


def keep_dataset(store: Path, partial: Path, digest: str) -> None:
    """Makes a written dataset the current one; one that is there already is used again.

    All but the newest `KEPT_DATASETS` are removed afterwards.
    """
    folder = dataset_folder(store, digest)
    with writing(store):
        try:
            partial.rename(folder)
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                raise
            os.utime(folder)
        write_json(store / "current.json", {"digest": digest})
    others = sorted(
        (other for other in (store / "datasets").iterdir() if not other.name.startswith(".")),
        key=lambda other: (other == folder, other.stat().st_mtime_ns),
        reverse=True,
    )
    for old in others[KEPT_DATASETS:]:
        shutil.rmtree(old, ignore_errors=True)


def dataset_folder(store: Path, digest: str) -> Path:
    """Returns where the dataset of this digest lies."""
    return store / "datasets" / digest[:16]


def current_digest(store: Path) -> str:
    """Returns the digest of the current dataset.

    Raises:
        NoImages: The hospital's images were never prepared.
    """
    digest = _read_digest(store / "current.json")
    if digest is None or not dataset_folder(store, digest).is_dir():
        raise NoImages(
            "The hospital has no prepared images",
            where=str(store),
            cure="Materialize the hospital's images first",
        )
    return digest


def validated_digest(store: Path) -> str | None:
    """Returns the digest of the dataset that validation last let through; None where none was."""
    return _read_digest(store / "validated.json")


def set_validated(store: Path, digest: str | None) -> None:
    """Notes which dataset validation let through; None notes that it did not."""
    with writing(store):
        if digest is None:
            (store / "validated.json").unlink(missing_ok=True)
        else:
            write_json(store / "validated.json", {"digest": digest})


def pseudonym_salt(store: Path) -> bytes:
    """Returns the hospital's secret for pseudonyms, 32 bytes, drawn when first asked for."""
    path = store / "pseudonym.salt"
    with writing(store):
        try:
            # O_EXCL through a link: of two processes that draw at once, both use the first one's.
            drawn = path.with_name(f".salt-{secrets.token_hex(4)}")
            if not path.exists():
                drawn.touch(mode=0o600)
                drawn.write_bytes(secrets.token_bytes(32))
                os.link(drawn, path)
        except FileExistsError:
            pass
        finally:
            drawn.unlink(missing_ok=True)
        return path.read_bytes()


def write_json(path: Path, value: Any) -> None:
    """Writes a small file in one step: a reader sees the old one or the new one."""
    fresh = path.with_name(f".{path.name}-{secrets.token_hex(4)}")
    try:
        fresh.touch(mode=0o600)
        fresh.write_text(json.dumps(value, indent=1) + "\n")
        fresh.replace(path)
    finally:
        fresh.unlink(missing_ok=True)


def _read_digest(path: Path) -> str | None:
    try:
        return str(json.loads(path.read_text())["digest"])
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError) as error:
        raise StorageError(
            "A file of the store is damaged",
            where=str(path),
            cure="Materialize the hospital's images and validated_images again",
        ) from error


def _is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
