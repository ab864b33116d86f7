"""Small files that a hospital decides by: its own user's, open to nobody else, written whole."""

from __future__ import annotations

import json
import os
import secrets
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fed_assets.errors import KeyRefused


def read_own(path: Path, what: str) -> dict[str, Any]:
    """Returns the object in a JSON file that the hospital's user alone may read or write.

    Args:
        path: The file.
        what: What errors call it.

    Raises:
        FileNotFoundError: There is none.
        KeyRefused: It is somebody else's, open to others, or damaged.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise KeyRefused(
            f"{what} cannot be read", where=str(path), seen=error.strerror or ""
        ) from None
    with os.fdopen(descriptor, "rb") as file:
        found = os.fstat(descriptor)
        mode = stat.S_IMODE(found.st_mode)
        if not stat.S_ISREG(found.st_mode) or found.st_uid != os.geteuid() or mode & 0o077:
            raise KeyRefused(
                f"{what} is not the hospital's own user's alone",
                where=str(path),
                seen=f"user {found.st_uid}, mode {mode:04o}",
                cure="Look who could have changed it; then remove it and approve the code again",
            )
        try:
            content = json.loads(file.read())
        except ValueError:
            content = None
    if not isinstance(content, dict):
        raise damaged(path, what)
    return content


def write_own(path: Path, content: Mapping[str, Any]) -> None:
    """Writes a JSON file for the hospital's user alone, whole or not at all.

    Raises:
        KeyRefused: It cannot be written.
    """
    fresh = path.with_name(f".{path.name}-{secrets.token_hex(4)}")
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        try:
            written = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            with os.fdopen(written, "w") as file:
                json.dump(content, file, indent=1)
                file.flush()
                os.fsync(file.fileno())
            fresh.replace(path)
        finally:
            fresh.unlink(missing_ok=True)
    except OSError as error:
        raise KeyRefused(
            "A file of the hospital's cannot be written",
            where=str(path),
            seen=error.strerror or "",
            cure="Free disk space, or correct the folder's permissions",
        ) from None


def damaged(path: Path, what: str) -> KeyRefused:
    """Returns the error of a file that does not hold what it must."""
    return KeyRefused(
        f"{what} is damaged", where=str(path), cure="Remove it, and approve the code again"
    )
