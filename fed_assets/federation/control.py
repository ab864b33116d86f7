"""The socket over which a warm federation is asked for something: one JSON line each way."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

CONTROL_SOCKET = "control.sock"
# Aborting a job, and stopping all processes, take less.
END_SECONDS = 15.0


def connect(folder: Path) -> socket.socket:
    """Returns a connection to the folder's federation.

    Raises:
        OSError: None is up.
    """
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        # A socket's path may have some hundred characters, a home's may have more.
        with _opened(folder) as directory:
            connection.connect(f"/proc/self/fd/{directory}/{CONTROL_SOCKET}")
    except OSError:
        connection.close()
        raise
    return connection


@contextmanager
def _opened(folder: Path) -> Iterator[int]:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def ask(connection: socket.socket, request: dict[str, Any]) -> None:
    """Sends a request."""
    connection.sendall(json.dumps(request).encode() + b"\n")


def heard(
    connection: socket.socket, on_silence: Callable[[], None] | None = None
) -> Iterator[dict[str, Any]]:
    """Yields what comes over a connection, to its end; its time limit is what counts as silence."""
    unread = b""
    while True:
        try:
            chunk = connection.recv(1 << 16)
        except TimeoutError:
            if on_silence is None:
                raise
            on_silence()
            continue
        except ConnectionResetError:  # it ended before it had looked at the request
            return
        if not chunk:
            return
        *lines, unread = (unread + chunk).split(b"\n")
        yield from (json.loads(line) for line in lines)


def hang_up(connection: socket.socket) -> None:
    """Lets the job be aborted, where it still runs, and waits until it is."""
    with connection, suppress(OSError):
        connection.shutdown(socket.SHUT_WR)
        connection.settimeout(END_SECONDS)
        while connection.recv(1 << 16):
            pass
