"""Putting a file where there is none yet, on any file system."""

from __future__ import annotations

import errno
import os
from pathlib import Path

_NO_LINKS = {errno.EPERM, errno.ENOSYS, errno.EOPNOTSUPP, errno.EMLINK}


def put_once(fresh: Path, path: Path) -> None:
    """Gives a whole file its name, unless another has it; it may keep its old one too.

    A storage account that is mounted as a folder has no second names for a file. One job at a time
    works in it, so that nobody comes between looking and naming there.

    Raises:
        FileExistsError: Another file has the name.
        OSError: It cannot be given.
    """
    try:
        os.link(fresh, path)
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        if path.exists():
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(path)) from None
        fresh.rename(path)
