"""One hospital's store: where its datasets lie, and how they are put there whole or not at all."""

from __future__ import annotations

import errno
import json
import os
import secrets
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from fed_assets.errors import KeyRefused, NoImages, SealBroken, StorageError, system_reason
from fed_assets.hospital.envelope import is_sealed, rewrap
from fed_assets.hospital.files import DATASETS, HALF_WRITTEN, Store
from fed_assets.privacy.chain import OUTBOX_LOG

KEPT_DATASETS = 2
CURRENT, VALIDATED, TAKEN, SEEN = "current.json", "validated.json", "taken.json", "seen.json"
SALT, LEDGER, LOGS, REFERENCES = "pseudonym.salt", "privacy.jsonl", "logs", "references"
IMAGES, MANIFEST, FACTS = "images.npy", "manifest.parquet", "dataset.json"  # of a dataset
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


def open_store(store: Store) -> Store:
    """Makes the store if need be, for its owner alone, and its key if it is new; returns it.

    Raises:
        StorageError: It cannot be made.
        SealBroken: A file in it is sealed where it must be plain, or plain where it must be sealed.
        KeyRefused: Its key cannot be made.
    """
    with writing(store):
        (store.folder / DATASETS).mkdir(mode=0o700, parents=True, exist_ok=True)
        store.folder.chmod(0o700)
    files = kept_files(store)
    _require_as_it_was_written(store, files)
    if store.keys is not None and not files:
        store.keys.provide()
    return store


def _require_as_it_was_written(store: Store, files: Sequence[Path]) -> None:
    wanted, other = ("plain", "sealed") if store.keys is None else ("sealed", "plain")
    strange = [path for path in files if is_sealed(path) == (store.keys is None)]
    if not strange:
        return
    if len(strange) == len(files):
        aside = ", or move the folder aside: the hospital's data officer keeps the outbox log in it"
        spent = ": without the privacy ledger in it, what was spent would be forgotten"
        raise SealBroken(
            f"The store was written {other}, and the sandbox now says `storage: {wanted}`",
            where=str(store.folder),
            cure=f"Say `storage: {other}` again"
            + (spent if store.folder / LEDGER in files else aside),
        )
    raise SealBroken(f"A file of a {wanted} store is {other}", where=store.binding(strange[0]).name)


def kept_files(store: Store) -> list[Path]:
    """Returns every file that the store keeps; what is half-written is none."""
    own = (CURRENT, VALIDATED, TAKEN, SEEN, SALT, LEDGER, OUTBOX_LOG)
    patterns = (*own, f"{LOGS}/[!.]*", f"{REFERENCES}/[!.]*", f"{DATASETS}/[!.]*/*")
    return [path for pattern in patterns for path in sorted(store.folder.glob(pattern))]


def rotate_key(store: Store) -> int:
    """Gives a sealed store a new key: each file's own key is wrapped anew, no image is touched.

    The old key is kept until no file needs it; after a crash, the next call goes on.

    Returns:
        How many files were wrapped anew.

    Raises:
        KeyRefused: A key cannot be used, or the store is plain.
        SealBroken: A file's header was changed; the old key is kept then.
    """
    if store.keys is None:
        raise KeyRefused(
            "A plain store has no key", where=str(store.folder), cure="Run a sealed sandbox"
        )
    with store.turn(alone=True):
        store.keys.renew()
        keys = store.keys
        done = sum(rewrap(path, store.binding(path).name, keys) for path in kept_files(store))
        store.keys.forget_old()
    return done


@contextmanager
def writing(store: Store) -> Iterator[None]:
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
            where=str(store.folder),
            seen=system_reason(error),
        ) from error


def require_room(store: Store, needed_bytes: int) -> None:
    """Refuses a write that cannot end well before it begins.

    Raises:
        StorageError: Fewer than `needed_bytes` are free on the store's disk.
    """
    free = shutil.disk_usage(store.folder).free
    if needed_bytes > free:
        raise StorageError(
            "There is no room for the hospital's images",
            where=str(store.folder),
            seen=f"{needed_bytes / 1e9:.1f} GB needed, {free / 1e9:.1f} GB free",
        )


@contextmanager
def new_dataset(store: Store) -> Iterator[Path]:
    """Yields an empty folder to write a dataset into; it is removed unless `keep_dataset` took it.

    What earlier processes left there when they were killed is removed too.
    """
    remove_abandoned(store)
    partial = _aside(store)
    with store.turn():
        with writing(store):
            partial.mkdir(mode=0o700)
        try:
            yield partial
        finally:
            shutil.rmtree(partial, ignore_errors=True)


def remove_abandoned(store: Store) -> None:
    """Removes what processes that were killed left half-written."""
    for folder in (store.folder, *(store.folder / name for name in (LOGS, REFERENCES, DATASETS))):
        for left in folder.glob(f"{HALF_WRITTEN}*"):
            process = left.name.split("-")[1]
            if process.isdecimal() and _is_running(int(process)):
                continue
            if left.is_dir() and not left.is_symlink():
                shutil.rmtree(left, ignore_errors=True)
            else:
                left.unlink(missing_ok=True)


def keep_dataset(store: Store, partial: Path, digest: str) -> None:
    """Makes a written dataset the current one; a plain one that is there whole is used again.

    A sealed one that is there already is replaced: it may be here that a broken one is mended.
    All but the newest `KEPT_DATASETS` are removed afterwards.
    """
    folder, replaced = dataset_folder(store, digest), _aside(store)
    with writing(store):
        store.move_into(folder, partial)
        whole = all((folder / path.name).is_file() for path in partial.iterdir())
        if folder.exists() and not (whole and store.keys is None):
            folder.rename(replaced)
        try:
            partial.rename(folder)
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                raise
            os.utime(folder)
        write_json(store, store.folder / CURRENT, {"digest": digest})
    shutil.rmtree(replaced, ignore_errors=True)
    others = sorted(
        (other for other in (store.folder / DATASETS).iterdir() if not other.name.startswith(".")),
        key=lambda other: (other == folder, other.stat().st_mtime_ns),
        reverse=True,
    )
    for old in others[KEPT_DATASETS:]:
        shutil.rmtree(old, ignore_errors=True)


def dataset_folder(store: Store, digest: str) -> Path:
    """Returns where the dataset of this digest lies."""
    return store.folder / DATASETS / digest[:16]


def current_digest(store: Store) -> str:
    """Returns the digest of the current dataset.

    Raises:
        NoImages: The hospital's images were never prepared.
    """
    digest = _read_digest(store, CURRENT)
    if digest is None or not dataset_folder(store, digest).is_dir():
        raise NoImages(
            "The hospital has no prepared images",
            where=str(store.folder),
            cure="Materialize the hospital's images first",
        )
    return digest


def validated_digest(store: Store) -> str | None:
    """Returns the digest of the dataset that validation last let through; None where none was."""
    return _read_digest(store, VALIDATED)


def set_validated(store: Store, digest: str | None) -> None:
    """Notes which dataset validation let through; None notes that it did not."""
    with writing(store):
        if digest is None:
            (store.folder / VALIDATED).unlink(missing_ok=True)
        else:
            write_json(store, store.folder / VALIDATED, {"digest": digest})


def pseudonym_salt(store: Store) -> bytes:
    """Returns the hospital's secret for pseudonyms, 32 bytes, drawn when first asked for."""
    path = store.folder / SALT
    with writing(store):
        if not path.exists():
            # Of two processes that draw at once, both use the first one's.
            store.write(path, secrets.token_bytes(32), once=True)
        return store.read(path)


def write_json(store: Store, path: Path, value: Any) -> None:
    """Writes a small file of the store in one step."""
    store.write(path, (json.dumps(value, indent=1) + "\n").encode())


def _read_digest(store: Store, name: str) -> str | None:
    path = store.folder / name
    try:
        return str(json.loads(store.read(path))["digest"])
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError) as error:
        raise StorageError(
            "A file of the store is damaged",
            where=str(path),
            cure="Materialize the hospital's images and validated_images again",
        ) from error


def _aside(store: Store) -> Path:
    return store.folder / DATASETS / f"{HALF_WRITTEN}{os.getpid()}-{secrets.token_hex(4)}"


def _is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
