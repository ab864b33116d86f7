"""A run's connection to the desk: several threads ask over it, each for a hospital elsewhere."""

from __future__ import annotations

import queue
import socket
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any

from fed_assets.errors import HostAway, WorkerFailed, error_from_record
from fed_assets.hosts.frames import Gone, Stream

Event = dict[str, Any]


class Calls:
    """Asks for hospitals' machines; `close` it after.

    No thread is started before the first question, so that the process can still go behind a wall.

    Args:
        link: A connection to the desk.
    """

    def __init__(self, link: socket.socket) -> None:
        self._stream = Stream(link)
        self._lock = threading.Lock()
        self._questions: list[tuple[Mapping[str, Any], Sequence[bytes]]] = []
        self._waiting: dict[int, queue.Queue[Event]] = {}
        self._listeners: dict[str, Callable[[Event], None]] = {}
        self._number = 0
        self._thread: threading.Thread | None = None
        self._over = ""
        self._wake, self._woken = socket.socketpair()
        self._woken.setblocking(False)

    def ask(
        self, header: Mapping[str, Any], attachments: Sequence[bytes], seconds: float
    ) -> dict[str, Any]:
        """Returns what a hospital's machine answers.

        Args:
            header: `hospital`, `do`, and what belongs to that.
            attachments: Bytes that go with it.
            seconds: How long to wait for it.

        Raises:
            FedAssetsError: What it answered with.
            HostAway: It is not connected, or the door was closed.
            WorkerFailed: It did not answer in time.
        """
        answer: queue.Queue[Event] = queue.Queue()
        with self._lock:
            if self._over:
                raise self._closed()
            self._number += 1
            number = self._number
            self._waiting[number] = answer
            self._questions.append(({**header, "id": number}, attachments))
            if self._thread is None:
                self._thread = threading.Thread(target=self._carry, daemon=True)
                self._thread.start()
        self._nudge()
        try:
            said = answer.get(timeout=seconds)
        except queue.Empty:
            raise WorkerFailed(
                f"The machine of {header.get('hospital')} passed the time limit",
                seen=f"no answer within {seconds:.0f} s",
            ) from None
        finally:
            with self._lock:
                self._waiting.pop(number, None)
        if "error" in said:
            error = error_from_record(said["error"])
            error.outbox = said["error"].get("outbox")
            raise error
        if "result" not in said:
            raise self._closed()
        return dict(said["result"])

    def listen(self, site: str, listener: Callable[[Event], None]) -> None:
        """Has what is heard of a site handed on, from the thread that carries."""
        self._listeners[site] = listener

    def close(self) -> None:
        """Ends the connection: the sites that were opened over it are closed."""
        with self._lock:
            self._over = self._over or "it was closed here"
            thread = self._thread
        self._nudge()
        if thread is not None:
            thread.join(2.0)
        self._stream.close()

    def _nudge(self) -> None:
        with suppress(OSError):
            self._wake.send(b"x", socket.MSG_DONTWAIT)

    def _carry(self) -> None:
        try:
            while not self._over:
                with self._lock:
                    asked, self._questions = self._questions, []
                for header, attachments in asked:
                    self._stream.put(header, attachments)
                for header, _ in self._stream.turn(1.0, self._woken):
                    self._heard(header)
                with suppress(BlockingIOError):
                    self._woken.recv(4096)
        except Gone as reason:
            self._over = str(reason) or "it ended"
        self._stream.flush(0.5)
        with self._lock:
            for each in self._waiting.values():
                each.put({})

    def _heard(self, header: Event) -> None:
        if site := header.get("site"):
            if listener := self._listeners.get(str(site)):
                listener(header["event"])
            return
        with self._lock:
            answer = self._waiting.get(int(header.get("id", 0)))
        if answer is not None:
            answer.put(header)

    def _closed(self) -> HostAway:
        return HostAway("The door for hospitals on hosts of their own was closed", seen=self._over)
