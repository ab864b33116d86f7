"""Landlock: how a process gives up, for itself and for all that it starts, what it need not reach.

No right is needed for it. A process behind it cannot open a file but those that it kept, nor look
into, trace or signal a process outside; what it holds open already, it keeps. It holds for the
thread that asks for it and for what that starts: ask for it from a process of one thread.
"""

from __future__ import annotations

import ctypes
import os
import stat
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

# Before it, a file out of reach could be emptied; and before that, nothing be moved at all.
LEAST_ABI = 3
# From it on, signals and abstract sockets are held too.
SIGNALS_ABI = 6

_CREATE, _ADD, _RESTRICT = 444, 445, 446  # the same on every architecture
_VERSION = 1
_PATH_BENEATH = 1
_NO_NEW_PRIVILEGES = 38
_READ = 1 << 0 | 1 << 2 | 1 << 3  # to execute, to read a file, to list a folder
_ALL = (1 << 15) - 1
_OF_FILES = 1 << 0 | 1 << 1 | 1 << 2 | 1 << 14  # to execute, to write, to read, to truncate
_SIGNALS_AND_ABSTRACT_SOCKETS = 0b11


class _Ruleset(ctypes.Structure):
    _fields_ = [(name, ctypes.c_uint64) for name in ("files", "network", "scoped")]


class _PathBeneath(ctypes.Structure):
    _pack_ = 1
    _fields_ = [("allowed", ctypes.c_uint64), ("folder", ctypes.c_int32)]


_library = ctypes.CDLL(None, use_errno=True)


def landlock_abi() -> int:
    """Returns the version of the kernel's Landlock; 0 where it has none, or has it switched off."""
    try:
        return _call(_CREATE, None, 0, _VERSION)
    except OSError:
        return 0


def restrict(readable: Iterable[str | Path], writable: Iterable[str | Path]) -> None:
    """Leaves this process only these files and folders, with all that is in them.

    Args:
        readable: What it may read and execute; what is not there is passed over.
        writable: What it may write too, likewise.

    Raises:
        OSError: The kernel refuses.
    """
    scoped = _SIGNALS_AND_ABSTRACT_SOCKETS if landlock_abi() >= SIGNALS_ABI else 0
    wanted = _Ruleset(files=_ALL, network=0, scoped=scoped)
    # A kernel that does not know the last fields takes none of them.
    size = ctypes.sizeof(wanted) if scoped else 8
    ruleset = _call(_CREATE, ctypes.byref(wanted), size, 0)
    try:
        for rights, paths in ((_READ, readable), (_ALL, writable)):
            for path in paths:
                _allow(ruleset, path, rights)
        if _library.prctl(_NO_NEW_PRIVILEGES, 1, 0, 0, 0) != 0:
            raise OSError(ctypes.get_errno(), "prctl(PR_SET_NO_NEW_PRIVS) failed")
        _call(_RESTRICT, ruleset, 0)
    finally:
        os.close(ruleset)


def everything_but(hidden: Path) -> Iterator[Path]:
    """Yields what has to be allowed for all to be but one folder: all that is beside its parents.

    What is made there later is hidden too.

    Args:
        hidden: Absolute path of the folder.
    """
    hidden = hidden.resolve()
    for folder in reversed(hidden.parents):
        with suppress(PermissionError):
            # A link may lead to a parent of what is hidden.
            yield from (
                each for each in folder.iterdir() if not hidden.is_relative_to(each.resolve())
            )


def _allow(ruleset: int, path: str | Path, rights: int) -> None:
    try:
        opened = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:  # it is not there, or out of this user's reach anyway
        return
    try:
        if not stat.S_ISDIR(os.fstat(opened).st_mode):
            rights &= _OF_FILES
        rule = _PathBeneath(allowed=rights, folder=opened)
        _call(_ADD, ruleset, _PATH_BENEATH, ctypes.byref(rule), 0)
    finally:
        os.close(opened)


def _call(number: int, *arguments: object) -> int:
    # A variadic call passes an int of 32 bits, and the kernel reads 64.
    wide = [ctypes.c_long(each) if isinstance(each, int) else each for each in arguments]
    result = int(_library.syscall(ctypes.c_long(number), *wide))
    if result < 0:
        raise OSError(ctypes.get_errno(), f"Landlock's system call {number} failed")
    return result
