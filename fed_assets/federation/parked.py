"""Updates of large models: parked on disk until their round is aggregated, array by array."""

from __future__ import annotations

import ctypes
import gc
import shutil
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from fed_assets.federation.aggregation import Update
from fed_assets.federation.weights import LARGE_BYTES, write_weights


class ParkedWeights(Mapping[str, np.ndarray[Any, Any]]):
    """The arrays of a safetensors file, each read when it is asked for."""

    def __init__(self, path: Path, names: tuple[str, ...]) -> None:
        self._path = path
        self._names = names

    def __getitem__(self, name: str) -> np.ndarray[Any, Any]:
        from safetensors import safe_open

        if name not in self._names:
            raise KeyError(name)
        with safe_open(self._path, "numpy") as file:
            array: np.ndarray[Any, Any] = file.get_tensor(name)
        return array

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


def parked(update: Update, folder: Path) -> Update:
    """Returns the update with its weights on disk, where they are large and the disk takes them."""
    if sum(array.nbytes for array in update.weights.values()) < LARGE_BYTES:
        return update
    path = folder / f"{update.hospital}.safetensors"
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        write_weights(path, update.weights)
    except OSError:  # a full disk ends the round where it is published, and not before
        path.unlink(missing_ok=True)
        return update
    return replace(update, weights=ParkedWeights(path, tuple(update.weights)))


def clear(folder: Path) -> None:
    """Removes what is parked, and gives back the memory that it came through."""
    if folder.exists():
        shutil.rmtree(folder, ignore_errors=True)
        # What NVFlare received is held by cycles; after the template's `gc.freeze` they would wait
        # for a full collection for many rounds.
        gc.collect()
        with suppress(AttributeError, OSError):  # glibc's alone
            # The allocator keeps it for small models' sake, see `program.BARE_ENVIRONMENT`.
            ctypes.CDLL(None).malloc_trim(0)
