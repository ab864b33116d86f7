"""What somebody can read who is not the hospital: files, and what a process holds in memory."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from fed_assets.posture.evidence import Attempt

PIECE_BYTES = 1 << 22
_LOOKED_AT = ("environ", "maps", "fd", "root", "cwd")


def search_files(roots: Iterable[Path], canary: bytes) -> Attempt:
    """Looks for a canary in every file under some folders, whatever can be listed and read.

    Returns:
        Succeeded, if it stands in one; counts `read`, `denied` and `found`.
    """
    read = denied = found = 0
    for root in roots:
        if not os.access(root, os.R_OK | os.X_OK):
            denied += 1
            continue
        for path in (each for each in root.rglob("*") if not each.is_dir()):
            try:
                found += canary in path.read_bytes()
                read += 1
            except OSError:
                denied += 1
    return Attempt(found > 0, {"read": read, "denied": denied, "found": found})


def open_files(paths: Iterable[Path]) -> Attempt:
    """Tries to open files by their whole names; counts `opened` and `denied`."""
    opened = denied = 0
    for path in paths:
        try:
            path.read_bytes()
            opened += 1
        except OSError:
            denied += 1
    return Attempt(opened > 0, {"opened": opened, "denied": denied})


def search_memory(processes: Iterable[int], canary: bytes) -> Attempt:
    """Looks for a canary in what processes have written into memory.

    Returns:
        Succeeded, if it stands in one; counts `read` (processes), `denied` and `found`.
    """
    read = denied = found = 0
    for process in processes:
        try:
            found += any(canary in piece for piece in _memory(process, len(canary)))
            read += 1
        except OSError:
            denied += 1
    return Attempt(found > 0, {"read": read, "denied": denied, "found": found})


def look_into(processes: Iterable[int]) -> Attempt:
    """Tries what the system shows of a process: environment, mappings, descriptors, folders.

    Returns:
        Succeeded, if any of it could be read; counts `shown` and `denied`.
    """
    shown = denied = 0
    for process in processes:
        for name in _LOOKED_AT:
            try:
                _look(Path(f"/proc/{process}/{name}"))
                shown += 1
            except OSError:
                denied += 1
    return Attempt(shown > 0, {"shown": shown, "denied": denied})


def _look(path: Path) -> None:
    if path.name == "fd":
        for descriptor in path.iterdir():
            descriptor.readlink()
    elif path.name in ("root", "cwd"):
        path.readlink()
    else:
        path.read_bytes()


def _memory(process: int, overlap: int) -> Iterator[bytes]:
    """Yields what a process may write to of its memory, piece by piece.

    Raises:
        OSError: It may not be read.
    """
    maps = Path(f"/proc/{process}/maps").read_text().splitlines()
    with open(f"/proc/{process}/mem", "rb", buffering=0) as memory:
        for line in maps:
            place, rights, *_ = line.split()
            if not rights.startswith("rw"):
                continue
            start, end = (int(number, 16) for number in place.split("-"))
            for at in range(start, end, PIECE_BYTES):
                try:
                    memory.seek(at)
                    yield memory.read(min(PIECE_BYTES + overlap, end - at))
                except OSError:
                    break  # the kernel's own pages, or one that has gone
