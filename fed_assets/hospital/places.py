"""Whose turn it is to learn on this machine: as many hospitals at once as it has room for."""

from __future__ import annotations

import fcntl
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

PLACES = "places"
# What one hospital's round may take of a card: CUDA's own context, the network and its gradients
# and moments, and a batch's activations. A card with less than twice this serves one at a time.
ROUND_BYTES = 4 << 30
LOOK_SECONDS = 0.02
# More hospitals than cores do not learn faster, they only take more memory. But those that hold the
# cores may be frozen, and the others' round goes on: they wait for this share of its time limit.
PATIENCE = 0.25


@contextmanager
def place_to_learn(
    limit_seconds: float, should_stop: Callable[[], bool] = lambda: False
) -> Iterator[None]:
    """Waits for room on the graphics card or, without one, for a core; and gives it back.

    The processes of a federation have folders for temporary files that lie in one, and beside that
    one the places that they share.

    Args:
        limit_seconds: The round's time limit, of which a part at most is spent waiting for a core.
        should_stop: Asked again and again while waiting; the wait then ends without a place.
    """
    import torch

    folder = Path(tempfile.gettempdir())
    if (shared := folder.parent.parent / PLACES).is_dir():
        folder = shared
    if not torch.cuda.is_available():
        until = time.monotonic() + PATIENCE * limit_seconds
        with place(folder, cores(), lambda: should_stop() or time.monotonic() > until):
            yield
        return
    _, total_bytes = torch.cuda.mem_get_info()
    with place(folder, places_for(total_bytes), should_stop):
        try:
            yield
        finally:
            torch.cuda.empty_cache()  # what PyTorch would keep is the next hospital's


def cores() -> int:
    """Returns how many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):  # Linux's alone
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def places_for(total_bytes: int) -> int:
    """Returns how many hospitals may train at once on a card with that much memory, at least 1."""
    return max(1, total_bytes // ROUND_BYTES)


@contextmanager
def place(folder: Path, places: int, should_stop: Callable[[], bool]) -> Iterator[None]:
    """Waits for one of some places, and holds it; the kernel frees those of processes that die.

    Args:
        folder: Holds a file for each place that is held.
        places: How many there are.
        should_stop: Asked while waiting.
    """
    paths = [folder / f"place_{number}.lock" for number in range(places)]
    while not (held := next(filter(None, map(_taken, paths)), None)) and not should_stop():
        time.sleep(LOOK_SECONDS)
    try:
        yield
    finally:
        if held:
            held.path.unlink(missing_ok=True)
            os.close(held.file)


@dataclass(frozen=True)
class _Held:
    path: Path
    file: int


def _taken(path: Path) -> _Held | None:
    file = _opened(path)
    if file is None:
        return None
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # Whoever held it removes it: a lock on what is no longer there keeps nobody out.
        if os.fstat(file).st_ino == path.stat().st_ino:
            return _Held(path, file)
    except (BlockingIOError, FileNotFoundError):
        pass
    os.close(file)
    return None


def _opened(path: Path) -> int | None:
    """Returns a place's file, which hospitals of other users may hold too; None if just made."""
    with suppress(FileNotFoundError):
        return os.open(path, os.O_RDWR)
    # Some systems let nobody who asks to make a file open another user's.
    before = os.umask(0o007)  # at once with the mode: whoever finds it, opens it
    try:
        with suppress(FileExistsError):
            return os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o660)
    finally:
        os.umask(before)
    return None
