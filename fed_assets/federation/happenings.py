"""What a process without threads waits for: a message on its channel, the end of a child."""

from __future__ import annotations

import json
import os
import select
import signal
import socket
from collections.abc import Generator, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

LONGEST_MESSAGE = 1 << 17


@dataclass(frozen=True)
class Ended:
    """A child that has ended: its process id, and its exit code, `-N` after signal N."""

    pid: int
    code: int


@dataclass(frozen=True)
class Asked:
    """A message that came over the channel."""

    message: Mapping[str, Any]


@dataclass(frozen=True)
class Closed:
    """The other end of the channel is gone."""


def channel_pair() -> tuple[socket.socket, socket.socket]:
    """Returns two ends of a channel that has no path and no port: only heirs can hold them."""
    return socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)


def tell(channel: socket.socket, message: Mapping[str, Any]) -> None:
    """Sends a message; one to an end that is gone is dropped, because `hear` tells of it."""
    with suppress(BrokenPipeError, ConnectionResetError):
        channel.send(json.dumps(message).encode())


def hear(channel: socket.socket) -> dict[str, Any] | None:
    """Returns the next message, or None when the other end is gone."""
    try:
        content = channel.recv(LONGEST_MESSAGE)
    except ConnectionResetError:
        return None
    return json.loads(content) if content else None


def happenings(channel: socket.socket) -> Generator[Ended | Asked | Closed, None, None]:
    """Yields what happens to a process that has one channel, children and no threads.

    Every child is waited for, adopted ones too. In a forked child, close this generator before
    anything else: it gives back what the parent waits with.
    """
    awake, waker = socket.socketpair()
    awake.setblocking(False)
    waker.setblocking(False)
    # Python runs handlers between two bytecodes; the byte on the socket is what ends the wait.
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(waker.fileno(), warn_on_full_buffer=False)
    poll = select.poll()
    poll.register(awake, select.POLLIN)
    poll.register(channel, select.POLLIN)
    try:
        while True:
            yield from _ended_children()
            ready = {descriptor for descriptor, _ in poll.poll()}
            with suppress(BlockingIOError):
                awake.recv(4096)
            yield from _ended_children()
            if channel.fileno() in ready:
                message = hear(channel)
                if message is None:
                    poll.unregister(channel)
                    yield Closed()
                else:
                    yield Asked(message)
    finally:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        awake.close()
        waker.close()


def _ended_children() -> Iterator[Ended]:
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if pid == 0:
            return
        yield Ended(pid, os.waitstatus_to_exitcode(status))
