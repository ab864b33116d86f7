"""What a hospital's earlier jobs left in its home, of which each may have been another user."""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from pathlib import Path


def take_back(folder: Path) -> None:
    """Gives root a folder, and all in it that belongs to whom the folder belongs.

    A job that confines its processes gives them to a user of their own, whose number is drawn anew
    on each compute; and a key is read by nobody but whose it is. The folder itself comes last: who
    is interrupted finds by its owner that there is more to take. Nothing happens where this process
    is not root, or there is no such folder.
    """
    if os.geteuid() != 0 or not folder.is_dir():
        return
    owner = folder.stat().st_uid
    if owner == 0:
        return
    walked = os.fwalk(folder, topdown=False, follow_symlinks=False)
    with suppress(PermissionError):  # a container that lets root do no such thing
        for _, folders, names, opened in walked:
            for name in (*folders, *names, "."):
                found = os.stat(name, dir_fd=opened, follow_symlinks=False)
                has_others = not stat.S_ISDIR(found.st_mode) and found.st_nlink > 1
                if found.st_uid == owner and not has_others:
                    os.chown(name, 0, 0, dir_fd=opened, follow_symlinks=False)
