"""What a process without threads waits for: messages on its channels, the ends of its children."""

from __future__ import annotations

import json
import os
import select
import signal
import socket
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

LONGEST_MESSAGE = 1 << 17
MOST_DESCRIPTORS = 4


@dataclass(frozen=True)
class Ended:
    """A child that has ended: its process id, and its exit code, `-N` after signal N."""

    pid: int
    code: int


@dataclass(frozen=True)
class Asked:
    """A message that came over a channel, with the descriptors that came with it."""

    channel: socket.socket
    message: Mapping[str, Any]
    descriptors: Sequence[int] = ()


@dataclass(frozen=True)
class Closed:
    """A channel whose other end is gone, or closed for writing."""

    channel: socket.socket


def channel_pair() -> tuple[socket.socket, socket.socket]:
    """Returns two ends of a channel that has no path and no port: only heirs can hold them."""
    return socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)


def tell(
    channel: socket.socket, message: Mapping[str, Any], descriptors: Sequence[int] = ()
) -> None:
    """Sends a message; one to an end that is gone is dropped, because `hear` tells of it."""
    with suppress(BrokenPipeError, ConnectionResetError):
        socket.send_fds(channel, [json.dumps(message).encode()], list(descriptors))


def hear(channel: socket.socket) -> dict[str, Any] | None:
    """Returns the next message, or None when the other end is gone."""
    message, descriptors = _hear(channel)
    for descriptor in descriptors:
        os.close(descriptor)  # nothing that uses `hear` expects any
    return message


def hung_up(channel: socket.socket) -> bool:
    """Returns whether the other end of a channel is gone, as it may be before a child has ended."""
    poll = select.poll()
    poll.register(channel, 0)  # of a hang-up alone it tells unasked
    return bool(poll.poll(0))


def _hear(channel: socket.socket) -> tuple[dict[str, Any] | None, list[int]]:
    try:
        content, descriptors, _, _ = socket.recv_fds(channel, LONGEST_MESSAGE, MOST_DESCRIPTORS)
    except ConnectionResetError:
        return None, []
    return (json.loads(content) if content else None), descriptors


class Happenings:
    """All that happens to a process that has channels, children and no threads.

    Iterating over it yields `Ended`, `Asked` and `Closed` and never ends; who has other work to do
    asks for what has happened `so_far`. Every child is waited for, adopted ones too. In a forked
    child, `close` it before anything else.
    """

    def __init__(self) -> None:
        self._channels: dict[int, socket.socket] = {}
        self._poll = select.poll()
        self._awake, self._waker = socket.socketpair()
        self._awake.setblocking(False)
        self._waker.setblocking(False)
        # Python runs handlers between two bytecodes; the byte on the socket is what ends the wait.
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(self._waker.fileno(), warn_on_full_buffer=False)
        self._poll.register(self._awake, select.POLLIN)

    def watch(self, channel: socket.socket) -> None:
        """Listens to one more channel."""
        self._channels[channel.fileno()] = channel
        self._poll.register(channel, select.POLLIN)

    def forget(self, channel: socket.socket) -> None:
        """Closes a channel."""
        self._unwatch(channel)
        channel.close()

    def descriptors(self) -> set[int]:
        """Returns the descriptors of all channels, and of what the process waits with."""
        return {self._awake.fileno(), self._waker.fileno(), *self._channels}

    def close(self) -> None:
        """Closes all channels, and gives back what the process waited with."""
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        for channel in (self._awake, self._waker, *self._channels.values()):
            channel.close()
        self._channels.clear()

    def __iter__(self) -> Iterator[Ended | Asked | Closed]:
        while True:
            yield from _ended_children()
            yield from self._heard(self._poll.poll())

    def so_far(self) -> Iterator[Ended | Asked | Closed]:
        """Yields what has happened already, without waiting for more."""
        while ready := self._poll.poll(0):
            yield from self._heard(ready)

    def _heard(self, ready: Iterable[tuple[int, int]]) -> Iterator[Ended | Asked | Closed]:
        with suppress(BlockingIOError):
            self._awake.recv(4096)
        yield from _ended_children()
        numbers = {descriptor for descriptor, _ in ready}
        for channel in [self._channels[each] for each in numbers if each in self._channels]:
            if channel.fileno() == -1:
                continue  # forgotten since
            message, descriptors = _hear(channel)
            if message is None:
                self._unwatch(channel)
                yield Closed(channel)
            else:
                yield Asked(channel, message, descriptors)

    def _unwatch(self, channel: socket.socket) -> None:
        if self._channels.pop(channel.fileno(), None) is not None:
            self._poll.unregister(channel)


def _ended_children() -> Iterator[Ended]:
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if pid == 0:
            return
        yield Ended(pid, os.waitstatus_to_exitcode(status))
