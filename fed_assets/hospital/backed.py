"""A store that the hospital's own container in Azure's storage backs.

The store stays a folder, in which tasks work as on any disk; before a task it gets what the
container has, and before its answer leaves, the container gets what it changed. What is sealed goes
there as it lies here. The container is opened by the hospital's own credential, from its own file.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from fed_assets.containers.container import Container
from fed_assets.containers.folder_copy import FolderCopy, Moved
from fed_assets.containers.place import read_place
from fed_assets.hospital.files import DATASETS, LOCK, Store
from fed_assets.hospital.own_log import PLAIN_LOG
from fed_assets.hospital.store import writing

TEMPORARY = "tmp"


def fetched(store: Store) -> Store:
    """Returns a store, after bringing what its container has and it has not.

    Raises:
        ContainerRefused: The hospital's container cannot be used.
        StorageError: The store cannot be written.
    """
    with writing(store):
        store.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    _moved(store, FolderCopy.fetch)
    return store


def put_away(store: Store) -> None:
    """Takes to a store's container what was changed in the store; where that fails, it stays here.

    Raises:
        ContainerRefused: The hospital's container cannot be used.
    """
    _moved(store, FolderCopy.keep)


def blob_prefix(store: Store) -> str:
    """Returns what the names of a store's files begin with in its container."""
    return f"{store.hospital}/{store.folder.name}/"


def _moved(store: Store, move: Callable[[FolderCopy], Moved]) -> None:
    if store.container is None:
        return
    with closing(Container(read_place(store.container))) as container, writing(store):
        move(FolderCopy(store.folder, container, blob_prefix(store), lambda: lasting_files(store)))


def lasting_files(store: Store) -> list[Path]:
    """Returns all files of a store but those of a moment; datasets first, which others name."""
    found = []
    for folder, folders, names in os.walk(store.folder):
        top = Path(folder) == store.folder
        folders[:] = [name for name in folders if not name.startswith(".")]
        if top and TEMPORARY in folders:
            folders.remove(TEMPORARY)
        # Of a sealed store, what was printed before the store was opened is not sealed.
        left_out = {LOCK} | ({PLAIN_LOG} if store.keys is not None else set())
        found += [
            Path(folder, name)
            for name in names
            if not name.startswith(".") and not (top and name in left_out)
        ]
    whole = [path for path in found if path.is_file() and not path.is_symlink()]
    return sorted(whole, key=lambda path: (DATASETS not in path.parts[-3:], path))
