"""One hospital worker: a process that answers one task a line."""

from __future__ import annotations

import contextlib
import json
import os
import select
import socket
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fed_assets.errors import StorageError, WorkerFailed
from fed_assets.federation.ended import told
from fed_assets.federation.origin import Origin, stop
from fed_assets.federation.program import Program
from fed_assets.resources.hospital_port import read_answer, result_of

LOG_FILE = "worker.log"
WORKER = "fed_assets.hospital.worker"
START_SECONDS = 60
CLOSE_SECONDS = 5


class WorkerProcess:
    """A running worker, bound at its start to the hospitals of its identity.

    Its standard error goes to `worker.log` in its store: a traceback may name a file.

    Args:
        origin: what starts it.
        site: the hospital whose process it is, or who acts for all.
        identity: the first line that it is sent, see `hospital.worker.Identity`.
        store: absolute path of the store that it lives in.
        walled: whether the store is out of this process's reach; it makes it itself then.

    Raises:
        StorageError: the store cannot be written.
        ProcessNotStarted: it did not come to be.
    """

    def __init__(
        self,
        origin: Origin,
        site: str,
        identity: Mapping[str, Any],
        *,
        store: Path,
        walled: bool = False,
    ) -> None:
        self._origin = origin
        self._lock = threading.Lock()
        self._unread = b""
        self._logs = {
            name: Path(each["store"]) / LOG_FILE for name, each in identity["hospitals"].items()
        }
        program = Program(
            title=WORKER,  # whom it acts for is told over its channel
            module=WORKER,
            arguments=(),
            folder=str(store),
            temporary=str(store / "tmp"),
            console=str(store / LOG_FILE),
            answers=True,
        )
        self._channel, theirs = socket.socketpair()
        with theirs:
            try:
                if not walled:
                    _make_store(program)
            except OSError as error:
                self._channel.close()
                raise StorageError(
                    "The hospital's log cannot be written",
                    where=program.console,
                    seen=error.strerror or "",
                ) from None
            self._process = origin.start(site, program, theirs)
        self._send(identity)

    @property
    def pid(self) -> int:
        """Returns the process id."""
        return self._process.pid(START_SECONDS)

    @property
    def alive(self) -> bool:
        """Returns whether the process still runs."""
        return self._process.ended() is None

    def ask(
        self, task: str, *, hospital: str, arguments: Mapping[str, Any], timeout_seconds: float
    ) -> dict[str, Any]:
        """Returns the answer to one task; several threads may ask, one is answered at a time.

        Raises:
            FedAssetsError: the error that the hospital answered with.
            WorkerFailed: the process ended, answered nonsense, or took too long; it is ended then.
        """
        with self._lock:
            try:
                self._send({"task": task, "hospital": hospital, "arguments": dict(arguments)})
                answer = self._receive(time.monotonic() + timeout_seconds)
            except _NoAnswer as failure:
                self._kill()
                raise WorkerFailed(
                    f"The worker of {hospital} {failure} in the task {task}",
                    where=str(self._logs.get(hospital, "")),
                    seen=self._origins_end(),
                ) from None
            except BaseException:
                # Its late answer would be taken for the next task's.
                self._kill()
                raise
        return result_of(answer)

    def close(self) -> None:
        """Ends the process: asked first, then killed."""
        if self._channel.fileno() == -1:
            return
        with contextlib.suppress(OSError):
            self._channel.shutdown(socket.SHUT_WR)
        if not self._process.gone(CLOSE_SECONDS):
            self._kill()
        self._channel.close()

    def _origins_end(self) -> str:
        """Returns how the process that this one was forked from ended, if it did."""
        reason = self._origin.broken()
        return f"the process that it was forked from ended ({reason})" if reason else ""

    def _kill(self) -> None:
        stop([self._process], grace_seconds=CLOSE_SECONDS)

    def _send(self, message: Mapping[str, Any]) -> None:
        # A closed channel shows as a missing answer, which says more than EPIPE does.
        with contextlib.suppress(OSError):
            self._channel.sendall(json.dumps(message).encode() + b"\n")

    def _receive(self, deadline: float) -> dict[str, Any]:
        if self._channel.fileno() == -1:
            raise _NoAnswer("was closed")
        while b"\n" not in self._unread:
            left = max(0.0, deadline - time.monotonic())
            if not select.select([self._channel], [], [], left)[0]:
                raise _NoAnswer("passed the time limit")
            chunk = self._heard()
            if not chunk:
                self.close()
                raise _NoAnswer(f"ended ({told(self._process.ended())})")
            self._unread += chunk
        line, _, self._unread = self._unread.partition(b"\n")
        answer = read_answer(line)
        if answer is None:
            raise _NoAnswer("answered nonsense")
        return answer

    def _heard(self) -> bytes:
        """Returns what came next; nothing, if the process has ended."""
        with contextlib.suppress(ConnectionResetError):
            return self._channel.recv(1 << 16)
        return b""


def _make_store(program: Program) -> None:
    for folder in (program.folder, program.temporary):
        Path(folder).mkdir(parents=True, exist_ok=True, mode=0o700)
    os.close(program.open_console())


class _NoAnswer(Exception):
    """Why a task has no answer, as the end of a sentence about the worker."""
