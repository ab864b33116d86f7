"""Messages between two machines that outlive the connections which carry them.

What was not acknowledged is sent again over the next connection; what came twice is handed on once.
A machine's process that was started anew is another one, which has seen nothing yet.
"""

from __future__ import annotations

import socket
import threading
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from fed_assets.hosts.frames import Gone, Stream

PING_SECONDS = 5.0
# A connection that was cut shows in nothing else than silence.
SILENT_SECONDS = 20.0
Handler = Callable[[dict[str, Any], list[bytes]], None]


@dataclass(frozen=True)
class _Letter:
    number: int
    header: Mapping[str, Any]
    attachments: Sequence[bytes]


class Post:
    """One end: it keeps what is on its way, and hands on what comes.

    Args:
        on_message: Called with each message, in the thread that carries; it must not take long.
        on_new_peer: Called when another process is at the other end than before, before its first
            message.
    """

    def __init__(self, on_message: Handler, on_new_peer: Callable[[], None] = lambda: None) -> None:
        self.instance = uuid.uuid4().hex
        self._on_message = on_message
        self._on_new_peer = on_new_peer
        self._lock = threading.Lock()
        self._letters: list[_Letter] = []
        self._last_sent = 0  # the number of the last letter that was given one
        self._peer = ""
        self._last_seen = 0
        self._greeted = False
        self._wake, self._woken = socket.socketpair()
        self._woken.setblocking(False)
        self._connection = 0  # counts connections: an older one ends when another is carried

    def put(self, header: Mapping[str, Any], attachments: Sequence[bytes] = ()) -> int:
        """Takes a message, which is sent as soon as there is a connection; returns its number."""
        with self._lock:
            self._last_sent += 1
            letter = _Letter(self._last_sent, dict(header), tuple(attachments))
            self._letters.append(letter)
        self.wake()
        return letter.number

    @property
    def is_waiting(self) -> bool:
        """Returns whether a message has not arrived yet, or is not known to have."""
        with self._lock:
            return bool(self._letters)

    def take_back(self, number: int) -> None:
        """Does not send a message any more, unless it is on its way already."""
        with self._lock:
            self._letters = [each for each in self._letters if each.number != number]

    def wake(self) -> None:
        """Has whoever carries look again at once."""
        with suppress(OSError):  # so many wait already, or it is closed
            self._wake.send(b"x", socket.MSG_DONTWAIT)

    def carry(self, stream: Stream, *, until: Callable[[], bool] = lambda: False) -> None:
        """Carries messages both ways until the connection ends, another takes its place, or so.

        Args:
            stream: The connection, after both have said who they are.
            until: Asked at least twice a second whether to leave off.

        Raises:
            Gone: The connection has ended, or is silent.
        """
        with self._lock:
            self._connection += 1
            mine, sent_up_to = self._connection, 0
            self._greeted = False
        stream.put({"instance": self.instance})
        while mine == self._connection and not until():
            with self._lock:
                # Who is at the other end decides what is still to be sent.
                waiting = [each for each in self._letters if each.number > sent_up_to]
                waiting = waiting if self._greeted else []
            for each in waiting:
                stream.put({"number": each.number, "message": each.header}, each.attachments)
                sent_up_to = each.number
            for header, attachments in stream.turn(0.5, self._woken):
                self._take(stream, header, attachments)
            with suppress(BlockingIOError):
                self._woken.recv(4096)
            now = time.monotonic()
            if now - stream.heard > SILENT_SECONDS:
                raise Gone(f"nothing was heard for {SILENT_SECONDS:.0f} s")
            if now - stream.said > PING_SECONDS and not stream.sending:
                stream.put({"ping": True})
        stream.flush(1.0)

    def close(self) -> None:
        """Ends whoever carries."""
        with self._lock:
            self._connection += 1
        self.wake()

    def _take(self, stream: Stream, header: dict[str, Any], attachments: list[bytes]) -> None:
        if instance := header.get("instance"):
            if instance != self._peer:
                self._peer, self._last_seen = str(instance), 0
                self._on_new_peer()
            self._greeted = True
        elif (acknowledged := header.get("seen")) is not None:
            with self._lock:
                self._letters = [each for each in self._letters if each.number > acknowledged]
        elif (number := header.get("number")) is not None:
            if number > self._last_seen:
                self._last_seen = number
                self._on_message(dict(header["message"]), attachments)
            stream.put({"seen": number})
