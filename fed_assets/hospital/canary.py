"""A canary: a random file that the hospital keeps as it keeps its images, for attempts to find.

It holds nothing of a patient, so whoever makes an attempt may know what to look for. What only the
hospital's own process can try, it tries here: whether its files lie there in plain, and whether a
file is taken that was changed, moved or made by another hospital.
"""

from __future__ import annotations

import base64
import secrets
import shutil
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from fed_assets.containers.place import read_place
from fed_assets.errors import FedAssetsError
from fed_assets.hospital.backed import blob_prefix
from fed_assets.hospital.custody import HospitalKey
from fed_assets.hospital.files import Store

FOLDER = "canary"
OBJECT, OTHER = "object", "other"
CANARY_BYTES = 4096
_held: list[bytes] = []


def plant_canary(_: Any, store: Store) -> dict[str, Any]:
    """Keeps a new canary in the store, and in this process's memory; returns it, in base64.

    Where a container backs the store, what is kept goes there after, and `container` says where to.

    Raises:
        FedAssetsError: The store cannot be written, or its key not be used.
    """
    remove_canary(None, store)
    folder = store.folder / FOLDER
    folder.mkdir(mode=0o700)
    canary = secrets.token_bytes(CANARY_BYTES)
    store.write(folder / OBJECT, canary)
    store.write(folder / OTHER, secrets.token_bytes(CANARY_BYTES))
    _held[:] = [store.read(folder / OBJECT)]
    told: dict[str, Any] = {"canary": base64.b64encode(canary).decode()}
    if store.container is not None:
        own = read_place(store.container)
        name = f"{blob_prefix(store)}{FOLDER}/{OBJECT}"
        told["container"] = {"url": own.url, "name": name, "by_token": own.identity is None}
    return told


def search_store(_: Any, store: Store) -> dict[str, Any]:
    """Returns in how many of the store's files the canary stands in plain, and in how many it is.

    `control` is the same of a folder in which it was put in plain on purpose.
    """
    opened = store.folder / FOLDER / "open"
    opened.mkdir(mode=0o700, exist_ok=True)
    (opened / OBJECT).write_bytes(b"before" + _held[0] + b"after")
    control = _found(_held[0], [opened / OBJECT])
    shutil.rmtree(opened)
    files = [path for path in store.folder.rglob("*") if path.is_file()]
    return {"found": _found(_held[0], files), "files": len(files), "control": control}


def tamper(_: Any, store: Store) -> dict[str, Any]:
    """Returns which changed files the store takes: `flipped`, `swapped` and `foreign`.

    `control` is the same of a plain store, which takes them all.
    """
    opened = Store(store.folder / FOLDER / "open", store.hospital)
    opened.folder.mkdir(mode=0o700, exist_ok=True)
    (opened.folder / FOLDER).mkdir(mode=0o700, exist_ok=True)
    for name in (OBJECT, OTHER):
        opened.write(opened.folder / FOLDER / name, store.read(store.folder / FOLDER / name))
    answer = {**_taken(store), "control": _taken(opened)}
    shutil.rmtree(opened.folder)
    return answer


def remove_canary(_: Any, store: Store) -> dict[str, Any]:
    """Removes the canary, if there is one."""
    shutil.rmtree(store.folder / FOLDER, ignore_errors=True)
    return {}


TASKS: Mapping[str, Callable[[Any, Store], dict[str, Any]]] = {
    "plant_canary": plant_canary,
    "search_store": search_store,
    "tamper": tamper,
    "remove_canary": remove_canary,
}


def _taken(store: Store) -> dict[str, bool]:
    """Returns which changes of the canary's file the store does not notice; all are undone."""
    path, other = store.folder / FOLDER / OBJECT, store.folder / FOLDER / OTHER
    changes: Mapping[str, Callable[[], bytes]] = {
        "flipped": lambda: _flipped(path.read_bytes()),
        "swapped": other.read_bytes,
        "foreign": lambda: _foreign(store, path),
    }
    return {name: _takes(store, path, change()) for name, change in changes.items()}


def _takes(store: Store, path: Path, content: bytes) -> bool:
    before = path.read_bytes()
    path.write_bytes(content)
    try:
        return store.read(path) != _held[0]
    except FedAssetsError:
        return False
    finally:
        path.write_bytes(before)


def _flipped(content: bytes) -> bytes:
    """Returns it with one bit of its last quarter changed, where a sealed file's content lies."""
    at = len(content) - CANARY_BYTES // 4
    return content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :]


def _foreign(store: Store, path: Path) -> bytes:
    """Returns the file as another hospital would have kept it, under the same name."""
    folder = store.folder / FOLDER / "foreign"
    stranger = replace(store, folder=folder / "store", hospital="stranger")
    if store.keys is not None:
        key = HospitalKey(folder / "keys" / "stranger.json", "stranger")
        key.provide()
        stranger = replace(stranger, keys=key)
    place = stranger.folder / path.relative_to(store.folder)
    place.parent.mkdir(parents=True, mode=0o700)
    try:
        stranger.write(place, secrets.token_bytes(CANARY_BYTES))
        return place.read_bytes()
    finally:
        shutil.rmtree(folder)


def _found(canary: bytes, files: Iterable[Path]) -> int:
    return sum(canary in path.read_bytes() for path in files)
