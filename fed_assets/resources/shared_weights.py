"""Global weights that confined hospitals may read: copies, in a folder that is open to them."""

from __future__ import annotations

import os
import shutil
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fed_assets.errors import StorageError, system_reason

ARGUMENTS = ("weights", "other_weights")  # of tasks; each is the path of a file


def read_weights(arguments: Mapping[str, Any]) -> dict[str, bytes]:
    """Returns what a task's files of weights hold, by the argument, for a machine elsewhere.

    Raises:
        StorageError: One cannot be read.
    """
    return {name: _content(Path(arguments[name])) for name in ARGUMENTS if name in arguments}


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise StorageError(
            "The global weights cannot be read", where=str(path), seen=system_reason(error)
        ) from None


def with_shared_copies(arguments: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """Returns a task's arguments with copies of the weights in them that hospitals may read.

    Raises:
        StorageError: They cannot be made.
    """
    copies = {
        name: str(shared_copy(Path(arguments[name]), folder))
        for name in ARGUMENTS
        if name in arguments
    }
    return {**arguments, **copies}


def shared_copy(weights: Path, folder: Path) -> Path:
    """Returns a copy of a weights file that hospitals may read; of one file there is one copy.

    Raises:
        StorageError: It cannot be made.
    """
    try:
        found = weights.stat()
        copy = folder / f"{found.st_ino}-{found.st_mtime_ns}.safetensors"
        if not copy.exists():
            partial = folder / f".{uuid.uuid4().hex}.partial"
            shutil.copyfile(weights, partial)
            partial.chmod(0o640)
            if os.geteuid() == 0:  # whose group is not that of the hospitals
                os.chown(partial, -1, folder.stat().st_gid)
            partial.replace(copy)
    except OSError as error:
        raise StorageError(
            "The global weights cannot be shared", where=str(folder), seen=error.strerror or ""
        ) from None
    return copy


def clear_shared(folder: Path) -> None:
    """Removes all copies."""
    for copy in folder.glob("*.safetensors"):
        copy.unlink(missing_ok=True)
    for half in folder.glob(".*.partial"):
        half.unlink(missing_ok=True)
