"""Whether a file is the one that was read before: what is asked each second is read but once."""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable
from functools import lru_cache
from pathlib import Path
from typing import Generic, ParamSpec, TypeVar

KEPT = 4096
# A file may change twice within one tick of the clock that stamps it: a younger one is read anew.
SETTLED_SECONDS = 2.0
Stamp = tuple[int, ...]
Given = ParamSpec("Given")
Read = TypeVar("Read")


class ReadOnce(Generic[Given, Read]):
    """A reading of files that is done anew only where one of them is another than before.

    Among what tells is the time of the last change of each file's entry, which the system alone
    sets: who writes other bytes of the same length, and then sets the file's own time back, is
    found out too.

    Args:
        reading: What reads them; it takes what can be a key, and raises nothing.
    """

    def __init__(self, reading: Callable[Given, Read]) -> None:
        self._reading = reading
        self._kept = lru_cache(KEPT)(self._read)

    def __call__(self, files: tuple[Path, ...], *given: Given.args, **named: Given.kwargs) -> Read:
        """Returns what the reading comes to, of files that it may look at."""
        stamps = tuple(_stamp(each) for each in files)
        now = time.time_ns()
        if any(stamp and now - stamp[0] < SETTLED_SECONDS * 1e9 for stamp in stamps):
            return self._reading(*given, **named)
        return self._kept(stamps, given, tuple(named.items()))

    def _read(
        self, _: Hashable, given: tuple[object, ...], named: tuple[tuple[str, object], ...]
    ) -> Read:
        return self._reading(*given, **dict(named))  # type: ignore[arg-type]


def _stamp(path: Path) -> Stamp:
    """Returns by what a file is told from another in its place; nothing where there is none."""
    try:
        found = path.stat()
    except OSError:
        return ()
    return found.st_ctime_ns, found.st_mtime_ns, found.st_size, found.st_ino, found.st_mode
