"""Which state of each file was last the same in a folder and in the container that backs it."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from fed_assets.errors import StorageError, system_reason

INDEX = ".container-index.json"


@dataclass(frozen=True)
class Known:
    """The state of one file that was last the same here and there.

    Attributes:
        etag: In the container.
        digest: sha256 of its content.
        state: Of the file here: its size, when it was changed (ns), and its inode.
    """

    etag: str
    digest: str
    state: tuple[int, int, int]


def read_index(path: Path, url: str) -> dict[str, Known]:
    """Returns the index by file name; nothing where it is of another container, or damaged."""
    with suppress(OSError, ValueError, TypeError, KeyError, AttributeError):
        record: dict[str, Any] = json.loads(path.read_text())
        if record["container"] == url:
            return {
                name: Known(each["etag"], each["digest"], tuple(each["state"]))
                for name, each in record["files"].items()
            }
    return {}


def write_index(path: Path, url: str, known: Mapping[str, Known], fresh: Path) -> None:
    """Writes the index, whole or not at all.

    Args:
        path: Where.
        url: Of which container.
        known: The states, by file name.
        fresh: What it is called while it is half written.

    Raises:
        StorageError: It cannot be written.
    """
    files = {name: asdict(each) for name, each in known.items()}
    try:
        with open(new_file(fresh), "w") as file:
            json.dump({"container": url, "files": files}, file)
        fresh.replace(path)
    except OSError as error:
        raise StorageError(
            "The folder cannot be written", where=str(path.parent), seen=system_reason(error)
        ) from None
    finally:
        fresh.unlink(missing_ok=True)


def new_file(path: Path) -> int:
    """Returns the descriptor of a new file, its owner's alone."""
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
