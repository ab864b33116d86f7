"""The socket at which runs reach the desk, and one run's connection."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from fed_assets.errors import HostAway, StorageError, system_reason
from fed_assets.hosts.frames import Stream

SOCKET = "desk.sock"


class Caller:
    """A run's connection.

    Args:
        stream: It.

    Attributes:
        woken: Can be read when there is something to be told.
    """

    def __init__(self, stream: Stream) -> None:
        self.stream = stream
        self._told: list[Mapping[str, Any]] = []
        self._lock = threading.Lock()
        self._wake, self.woken = socket.socketpair()
        self.woken.setblocking(False)

    def tell(self, header: Mapping[str, Any]) -> None:
        """Has it told something; any thread may."""
        with self._lock:
            self._told.append(header)
        with suppress(OSError):
            self._wake.send(b"x", socket.MSG_DONTWAIT)

    def told(self) -> list[Mapping[str, Any]]:
        """Returns what it is to be told, once."""
        with suppress(BlockingIOError):
            self.woken.recv(4096)
        with self._lock:
            told, self._told = self._told, []
        return told


def listen_at(folder: Path) -> socket.socket:
    """Returns what listens for runs; a socket that a door which was killed left is replaced.

    Raises:
        StorageError: The socket cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        with suppress(FileNotFoundError):
            (folder / SOCKET).unlink()
        listener = socket.socket(socket.AF_UNIX)
        # A socket's path may be 108 bytes long, and a home's is often longer.
        place = os.open(folder, os.O_RDONLY)
        try:
            listener.bind(f"/proc/self/fd/{place}/{SOCKET}")
        finally:
            os.close(place)
        (folder / SOCKET).chmod(0o600)
        listener.listen(16)
    except OSError as error:
        raise StorageError(
            "The door's desk cannot be made", where=str(folder), seen=system_reason(error)
        ) from None
    return listener


def reach_desk(folder: Path) -> socket.socket:
    """Returns a connection to the desk.

    Raises:
        HostAway: No door is open.
    """
    link = socket.socket(socket.AF_UNIX)
    try:
        place = os.open(folder, os.O_RDONLY)
        try:
            link.connect(f"/proc/self/fd/{place}/{SOCKET}")
        finally:
            os.close(place)
    except OSError as error:
        link.close()
        raise HostAway(
            "No door is open for hospitals on hosts of their own",
            where=str(folder),
            seen=system_reason(error),
            cure="Start `fed-assets federation door`, and leave it running",
        ) from None
    return link
