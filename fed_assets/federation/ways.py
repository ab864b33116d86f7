"""Ways to what every user must reach, past folders that are closed to all but root.

Root's own Python often lies in root's home. The processes that ask for it get a view of the file
system of their own, in which a closed folder is empty but for the ways; nobody else sees it.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterable
from pathlib import Path

_CLONE_NEWNS = 0x20000
_MS_NOSUID, _MS_NODEV, _MS_BIND, _MS_REC, _MS_SLAVE = 2, 4, 4096, 16384, 1 << 19

_library = ctypes.CDLL(None, use_errno=True)


def closed_folder(path: Path) -> Path | None:
    """Returns the first folder on the way to a path that other users cannot pass; None if none."""
    for folder in reversed(path.parents):
        if not folder.stat().st_mode & 0o001:
            return folder
    return None


def open_ways(paths: Iterable[Path]) -> bool:
    """Has every user reach these paths, as far as their own modes allow; says if that took a view.

    It takes root, and a process of one thread.

    Args:
        paths: Absolute paths; what is not there is passed over.

    Raises:
        OSError: The kernel refuses a view of the file system of one's own.
    """
    closed = _closed(paths)
    if not closed:
        return False
    _check(_library.unshare(_CLONE_NEWNS), "unshare")
    _mount(None, "/", None, _MS_REC | _MS_SLAVE)  # what is mounted here stays here
    for folder, ways in closed.items():
        _cover(folder, ways)
    return True


def takes_view(paths: Iterable[Path]) -> bool:
    """Returns whether some of these paths lie in a folder that other users cannot pass."""
    return bool(_closed(paths))


def _closed(paths: Iterable[Path]) -> dict[Path, list[Path]]:
    """Returns the closed folders on the ways, each with those that lead through it."""
    wanted = sorted({path.resolve() for path in paths if path.exists()})
    outermost = [
        path for path in wanted if not any(path.is_relative_to(w) for w in wanted if w != path)
    ]
    closed: dict[Path, list[Path]] = {}
    for path in outermost:
        if folder := closed_folder(path):
            closed.setdefault(folder, []).append(path)
    return closed


def _cover(folder: Path, ways: Iterable[Path]) -> None:
    opened = {way: os.open(way, os.O_PATH | os.O_CLOEXEC) for way in ways}
    before = os.umask(0o066)
    try:
        _mount("none", str(folder), "tmpfs", _MS_NOSUID | _MS_NODEV, "mode=0711,size=1m")
        for way, descriptor in opened.items():
            inside = Path(f"/proc/self/fd/{descriptor}")
            if inside.is_dir():
                way.mkdir(parents=True)
            else:
                way.parent.mkdir(parents=True, exist_ok=True)
                way.touch()
            _mount(str(inside), str(way), None, _MS_BIND | _MS_REC)
    finally:
        os.umask(before)
        for descriptor in opened.values():
            os.close(descriptor)


def _mount(source: str | None, target: str, kind: str | None, flags: int, data: str = "") -> None:
    texts = [None if text is None else text.encode() for text in (source, target, kind)]
    result = _library.mount(*texts, ctypes.c_ulong(flags), data.encode() or None)
    _check(result, f"mount on {target}")


def _check(result: int, what: str) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")
