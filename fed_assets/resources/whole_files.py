"""Files that are there whole or not at all, for what has no need of Dagster."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import uuid
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fed_assets.errors import StorageError, system_reason

if TYPE_CHECKING:
    from upath import UPath


def read_whole(
    path: Path | UPath, *, what: str, cure: str, needs: Iterable[str] = ()
) -> dict[str, Any] | None:
    """Returns the JSON object that a file holds; None where there is no such file.

    Args:
        path: the file, as `write_whole` wrote it.
        what: how a message names its content.
        cure: what mends it where it is damaged.
        needs: names that must stand in the object.

    Raises:
        StorageError: it cannot be read, or holds no JSON, no object, or one without a name that it
            needs.
    """
    content = read_bytes(path, what=what, cure=cure)
    return None if content is None else parsed(content, path, what=what, cure=cure, needs=needs)


def read_bytes(path: Path | UPath, *, what: str, cure: str) -> bytes | None:
    """Returns a file's bytes; None where there is no such file.

    Raises:
        StorageError: it cannot be read.
    """
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise StorageError(
            f"{what} is damaged", where=str(path), seen=system_reason(error), cure=cure
        ) from None


def parsed(
    content: bytes, path: Path | UPath, *, what: str, cure: str, needs: Iterable[str] = ()
) -> dict[str, Any]:
    """Returns the JSON object that a file's bytes are, see `read_whole`.

    Raises:
        StorageError: they are no JSON, no object, or one without a name that it needs.
    """
    try:
        record = json.loads(content.decode("utf-8"))
    except (ValueError, RecursionError):
        record = None
        seen = "no JSON"
    else:
        seen = "not its form"
    if isinstance(record, dict) and record.keys() >= set(needs):
        return record
    raise StorageError(f"{what} is damaged", where=str(path), seen=seen, cure=cure)


def write_whole(path: Path, content: bytes) -> None:
    """Writes a file, readable by its owner alone, so that it is there whole or not at all.

    Raises:
        StorageError: it cannot be written; what stood there before stands there still.
    """
    partial = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with open(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(content)
        partial.replace(path)
    except OSError as error:
        what = "The disk is full" if error.errno == errno.ENOSPC else "A file cannot be written"
        raise StorageError(what, where=str(path.parent), seen=error.strerror or "") from None
    finally:
        with contextlib.suppress(OSError):  # it is gone already, or its folder is none
            partial.unlink()
