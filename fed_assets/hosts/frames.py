"""Messages over a connection: a JSON header, and whatever bytes belong to it.

One thread has a connection, and uses it in both directions without ever waiting for one of them:
an encrypted one must not be read and written by two threads at once.
"""

from __future__ import annotations

import json
import select
import socket
import ssl
import struct
import time
from collections import deque
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

# A whole network's weights, and some; a header holds an answer, with a contact sheet at most.
MOST_BYTES = 1 << 30
LONGEST_HEADER = 1 << 26
# How long an end that is left may take for the last that the other said.
LAST_SECONDS = 10.0
_PIECE = 1 << 16
_LENGTH = struct.Struct(">I")
_SIZES = "sizes"
Message = tuple[dict[str, Any], list[bytes]]


class Gone(Exception):
    """The other end is gone, silent for too long, or says what is no message."""


class Stream:
    """One connection that carries messages.

    Args:
        connection: A connected socket, encrypted or not; it is this object's from now on.
    """

    def __init__(self, connection: socket.socket) -> None:
        connection.setblocking(False)
        self._connection = connection
        self._in = bytearray()
        self._out: deque[memoryview] = deque()
        self._wanted: int | None = None
        self._header: dict[str, Any] = {}
        self._ended = ""
        self.heard = self.said = time.monotonic()

    def put(self, header: Mapping[str, Any], attachments: Sequence[bytes] = ()) -> None:
        """Takes a message to be sent by `turn`."""
        sizes = [len(each) for each in attachments]
        text = json.dumps({**header, _SIZES: sizes}).encode()
        self._out.append(memoryview(_LENGTH.pack(len(text)) + text))
        self._out.extend(memoryview(each) for each in attachments if each)
        self.said = time.monotonic()

    @property
    def sending(self) -> bool:
        """Whether something waits to be sent."""
        return bool(self._out)

    def turn(self, seconds: float, wake: socket.socket | None = None) -> list[Message]:
        """Sends and receives what can be at once, waiting so long for it; returns what came.

        Args:
            seconds: How long to wait where nothing can be done.
            wake: Ends the wait as soon as it can be read.

        Raises:
            Gone: The connection has ended, or carries no messages.
        """
        self._move(seconds, wake)
        messages = self._messages()
        if self._ended and not messages:  # what was said before the end counts
            raise Gone(self._ended)
        return messages

    def exchange(self, header: Mapping[str, Any], seconds: float) -> dict[str, Any]:
        """Sends a message and returns the next header.

        Raises:
            Gone: None came in time.
        """
        self.put(header)
        return self.next(seconds)

    def next(self, seconds: float) -> dict[str, Any]:
        """Returns the next header, and reads no further. Raises `Gone` where none comes in time."""
        deadline = time.monotonic() + seconds
        while (message := self._message()) is None:
            left = deadline - time.monotonic()
            if self._ended or left <= 0:
                raise Gone(self._ended or "no answer in time")
            self._move(left)
        return message[0]

    def flush(self, seconds: float) -> None:
        """Sends what waits, as far as that can be done in time."""
        deadline = time.monotonic() + seconds
        with suppress(Gone):
            while self._out and time.monotonic() < deadline:
                self.turn(0.1)

    def taken(self) -> tuple[socket.socket, bytes]:
        """Returns the connection, for other use, and what was received and not read yet."""
        return self._connection, bytes(self._in)

    def close(self) -> None:
        """Closes the connection."""
        self._connection.close()

    def _move(self, seconds: float, wake: socket.socket | None = None) -> None:
        """Sends and receives what can be, or waits so long for it."""
        if self._ended:
            return
        try:
            if not (self._send() | self._receive()):
                readable = [self._connection, *([wake] if wake else [])]
                select.select(readable, [self._connection] if self._out else [], [], seconds)
                self._send()
                self._receive()
        except (OSError, ValueError, Gone) as error:
            self._ended = str(error) or type(error).__name__

    def _send(self) -> bool:
        moved = False
        while self._out:
            try:
                sent = self._connection.send(self._out[0][:_PIECE])
            except (ssl.SSLWantReadError, ssl.SSLWantWriteError, BlockingIOError):
                break
            moved = True
            self._out[0] = self._out[0][sent:]
            if not self._out[0]:
                self._out.popleft()
        return moved

    def _receive(self) -> bool:
        moved = False
        for _ in range(64):  # what comes faster than it is read does not keep this from sending
            try:
                piece = self._connection.recv(_PIECE)
            except (ssl.SSLWantReadError, ssl.SSLWantWriteError, BlockingIOError):
                break
            if not piece:
                raise Gone("it was closed")
            moved = True
            self.heard = time.monotonic()
            self._in += piece
        return moved

    def _messages(self) -> list[Message]:
        found = []
        while (message := self._message()) is not None:
            found.append(message)
        return found

    def _message(self) -> Message | None:
        if self._wanted is None:
            if len(self._in) < _LENGTH.size:
                return None
            (length,) = _LENGTH.unpack_from(self._in)
            if length > LONGEST_HEADER:
                raise Gone("it says what is no message")
            if len(self._in) < _LENGTH.size + length:
                return None
            self._header = _parsed(bytes(self._in[_LENGTH.size : _LENGTH.size + length]))
            del self._in[: _LENGTH.size + length]
            self._wanted = sum(self._header[_SIZES])
        if len(self._in) < self._wanted:
            return None
        attachments, start = [], 0
        for size in self._header.pop(_SIZES):
            attachments.append(bytes(self._in[start : start + size]))
            start += size
        del self._in[:start]
        self._wanted = None
        return self._header, attachments


def _parsed(text: bytes) -> dict[str, Any]:
    try:
        header = json.loads(text)
        sizes = [int(size) for size in header[_SIZES]]
    except (ValueError, TypeError, KeyError) as error:
        raise Gone("it says what is no message") from error
    if min(sizes, default=0) < 0 or sum(sizes) > MOST_BYTES:
        raise Gone("it says what is no message")
    return {**header, _SIZES: sizes}


def relay(one: socket.socket, other: socket.socket, first: bytes = b"") -> None:
    """Passes on what either end of two connections says, until one of them has ended.

    Args:
        one: An encrypted connection.
        other: A plain one.
        first: What the encrypted one has said already.
    """
    ends = {one: bytearray(), other: bytearray(first)}  # what is to be sent to each
    for each in ends:
        each.setblocking(False)
    with suppress(OSError):
        while True:
            moved = False
            for source, target in ((one, other), (other, one)):
                if len(ends[target]) < 16 * _PIECE:
                    with suppress(ssl.SSLWantReadError, ssl.SSLWantWriteError, BlockingIOError):
                        piece = source.recv(_PIECE)
                        if not piece:
                            target.settimeout(LAST_SECONDS)
                            target.sendall(ends[target])  # what was said before the end counts
                            return
                        ends[target] += piece
                        moved = True
                if ends[target]:
                    with suppress(ssl.SSLWantReadError, ssl.SSLWantWriteError, BlockingIOError):
                        sent = target.send(ends[target])
                        del ends[target][:sent]
                        moved = moved or sent > 0
            if not moved:
                readable = [each for each in ends if len(ends[_across(each, one, other)]) < _PIECE]
                select.select(readable, [each for each in ends if ends[each]], [], 1.0)


def _across(end: socket.socket, one: socket.socket, other: socket.socket) -> socket.socket:
    return other if end is one else one
