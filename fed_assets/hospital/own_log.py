"""One hospital's own log: what libraries print, and every traceback; it may name patients.

A plain store appends it to `worker.log`. A sealed one holds it in memory until the task is done,
and then seals it, a file per task, under `logs/`; what a process that is killed has printed is
lost. The hospital reads it with

    python -m fed_assets.hospital.own_log HOSPITAL STORE KEY_FILE
"""

from __future__ import annotations

import os
import secrets
import sys
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from fed_assets.errors import FedAssetsError, StorageError
from fed_assets.hospital.custody import HospitalKey
from fed_assets.hospital.files import Store
from fed_assets.hospital.store import LOGS, writing

PLAIN_LOG = "worker.log"


@contextmanager
def logged(store: Store) -> Iterator[None]:
    """Sends all that this process prints into the hospital's own log, and an unforeseen traceback.

    Raises:
        StorageError: The log cannot be written.
    """
    _divert(store)
    try:
        yield
    except FedAssetsError:
        raise
    except Exception:
        traceback.print_exc()
        raise
    finally:
        if store.keys is not None:
            sys.stdout.flush()
            sys.stderr.flush()
            printed = os.pread(2, os.fstat(2).st_size, 0)
            with suppress(FedAssetsError):  # what the process answers matters more than its log
                _seal(store, printed)


def keep_traceback(store: Store) -> None:
    """Puts the current exception's traceback into the hospital's own log.

    Raises:
        StorageError: It cannot be written.
        KeyRefused: The key of the store, which is sealed, cannot be used.
    """
    text = f"{time.strftime('%Y-%m-%dT%H:%M:%S%z')} executor\n{traceback.format_exc()}\n"
    if store.keys is not None:
        _seal(store, text.encode())
        return
    with writing(store):
        log = os.open(store.folder / PLAIN_LOG, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        with os.fdopen(log, "a") as stream:
            stream.write(text)


def log_place(store: Store) -> str:
    """Returns where the hospital finds its own log, for a message."""
    return str(store.folder / (PLAIN_LOG if store.keys is None else LOGS))


def read_log(store: Store) -> str:
    """Returns all of a hospital's own log, the oldest first.

    Raises:
        SealBroken: A part of it is not what was sealed.
        KeyRefused: The store's key cannot be used.
        StorageError: There is none.
    """
    if store.keys is None:
        return (store.folder / PLAIN_LOG).read_text(errors="replace")
    parts = sorted((store.folder / LOGS).glob("[!.]*"))
    if not parts:
        raise StorageError(
            "There is no log of the hospital's own",
            where=str(store.folder / LOGS),
            cure="Name the folder of one hospital's sealed store",
        )
    return "".join(store.read(part).decode(errors="replace") for part in parts)


def _divert(store: Store) -> None:
    sys.stdout.flush()
    sys.stderr.flush()
    with writing(store):
        if store.keys is None:
            flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT
            log = os.open(store.folder / PLAIN_LOG, flags, 0o600)
        elif hasattr(os, "memfd_create"):
            log = os.memfd_create(LOGS)
        else:  # there is no place for it but the disk, where it would lie open
            log = os.open(os.devnull, os.O_RDWR)
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.close(log)


def _seal(store: Store, text: bytes) -> None:
    if not text:
        return
    with writing(store):
        (store.folder / LOGS).mkdir(mode=0o700, exist_ok=True)
        name = f"{time.time_ns():020d}-{secrets.token_hex(4)}"
        store.write(store.folder / LOGS / name, text)


def main() -> None:
    """Prints a sealed store's log, for who may read its key."""
    if len(sys.argv) != 4:
        sys.exit("Usage: python -m fed_assets.hospital.own_log HOSPITAL STORE KEY_FILE")
    hospital, store, key_file = sys.argv[1], *map(Path, sys.argv[2:])
    try:
        print(read_log(Store(store, hospital, HospitalKey(key_file, hospital))), end="")
    except FedAssetsError as error:
        sys.exit(f"Error: {error}")


if __name__ == "__main__":
    main()
