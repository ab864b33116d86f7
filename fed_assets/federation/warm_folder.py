"""The folder of a federation that stays up: one at a time brings it up, and what died is cleared.

<folder>/.lock         held by who brings a federation up there, or takes it down
<folder>/control.sock  there while one is up
<folder>/federation/   its own folders
"""

from __future__ import annotations

import fcntl
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from fed_assets.federation.control import CONTROL_SOCKET, connect
from fed_assets.federation.half_done import clear_half_done

FEDERATION = "federation"
LOCK = ".lock"
LOOK_SECONDS = 0.05
REMOVE_SECONDS = 5.0


def clear_dead(folder: Path) -> None:
    """Removes the socket and the keys of a federation that was killed, and what is half done."""
    # Where another one is being brought up, or none ever was, there is nothing to clear.
    with suppress(BlockingIOError, FileNotFoundError), _looked_at(folder):
        clear_if_dead(folder)


def clear_if_dead(folder: Path) -> None:
    """Does it for who holds the lock."""
    try:
        connect(folder).close()
    except OSError:
        (folder / CONTROL_SOCKET).unlink(missing_ok=True)
        clear_half_done(folder / FEDERATION)


@contextmanager
def _looked_at(folder: Path) -> Iterator[None]:
    """Keeps others from bringing a federation up meanwhile.

    Raises:
        BlockingIOError: Somebody is at it.
        FileNotFoundError: There is no such folder.
    """
    with (folder / LOCK).open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Lets one process at a time bring a folder's federation up."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    with (folder / LOCK).open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def is_coming_up(folder: Path) -> bool:
    """Returns whether somebody is bringing a federation up in a folder, or taking it down."""
    try:
        with _looked_at(folder):
            return False
    except BlockingIOError:
        return True
    except FileNotFoundError:
        return False


def remove(place: Path) -> None:
    """Removes the last federation's folder; the processes of one that was killed write yet."""
    until = time.monotonic() + REMOVE_SECONDS
    while place.exists() and time.monotonic() < until:
        shutil.rmtree(place, ignore_errors=True)
        time.sleep(LOOK_SECONDS)
