"""One hospital worker: a process that answers one task a line."""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fed_assets.errors import StorageError, WorkerFailed, error_from_record

# A hospital's process gets these and nothing else: the orchestrator's environment holds secrets.
ENVIRONMENT = {
    "LANG": "C.UTF-8",
    "OMP_NUM_THREADS": "1",
    "MALLOC_ARENA_MAX": "2",
    "GX_ANALYTICS_ENABLED": "false",
    "PYTHONDONTWRITEBYTECODE": "1",
}
WORKER = "fed_assets.hospital.worker"
CLOSE_SECONDS = 5


class WorkerProcess:
    """A running worker, bound at its start to the hospitals of its identity.

    Its standard error goes to `log`, which lies in a hospital's store: a traceback may name a file.

    Raises:
        StorageError: the log cannot be written.
    """

    def __init__(self, identity: Mapping[str, Any], *, log: Path) -> None:
        self._lock = threading.Lock()
        self._unread = b""
        self._logs = {
            name: Path(each["store"]) / "worker.log" for name, each in identity["hospitals"].items()
        }
        try:
            log.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        except OSError as error:
            raise StorageError(
                "The hospital's log cannot be written", where=str(log), seen=error.strerror or ""
            ) from None
        with open(descriptor, "ab") as errors:
            self._process = subprocess.Popen(
                # Tied to this process, so that even `kill -9` of a run ends a busy worker.
                [sys.executable, "-m", "fed_assets.federation.child", str(os.getpid()), WORKER],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                env=ENVIRONMENT | {"PATH": os.environ.get("PATH", os.defpath)},
                start_new_session=True,
                bufsize=0,
            )
        self._send(identity)

    @property
    def pid(self) -> int:
        """Returns the process id."""
        return self._process.pid

    @property
    def alive(self) -> bool:
        """Returns whether the process still runs."""
        return self._process.poll() is None

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
                ) from None
            except BaseException:
                # Its late answer would be taken for the next task's.
                self._kill()
                raise
        if "error" in answer:
            raise error_from_record(answer["error"])
        return dict(answer["result"])

    def close(self) -> None:
        """Ends the process: asked first, then killed."""
        with contextlib.suppress(OSError):
            if self._process.stdin:
                self._process.stdin.close()
        try:
            self._process.wait(CLOSE_SECONDS)
        except subprocess.TimeoutExpired:
            self._kill()
        if self._process.stdout:
            self._process.stdout.close()

    def _kill(self) -> None:
        self._process.kill()
        self._process.wait()

    def _send(self, message: Mapping[str, Any]) -> None:
        # A closed pipe shows as a missing answer, which says more than EPIPE does.
        with contextlib.suppress(BrokenPipeError):
            if self._process.stdin and not self._process.stdin.closed:
                self._process.stdin.write(json.dumps(message).encode() + b"\n")

    def _receive(self, deadline: float) -> dict[str, Any]:
        output = self._process.stdout
        if output is None or output.closed:
            raise _NoAnswer("was closed")
        with selectors.DefaultSelector() as selector:
            selector.register(output, selectors.EVENT_READ)
            while b"\n" not in self._unread:
                if not selector.select(max(0.0, deadline - time.monotonic())):
                    raise _NoAnswer("passed the time limit")
                chunk = os.read(output.fileno(), 1 << 16)
                if not chunk:
                    self.close()
                    raise _NoAnswer(f"ended with code {self._process.returncode}")
                self._unread += chunk
        line, _, self._unread = self._unread.partition(b"\n")
        try:
            answer = json.loads(line)
        except ValueError:
            answer = None
        if not isinstance(answer, dict) or not {"result", "error"} & answer.keys():
            raise _NoAnswer("answered nonsense")
        return answer


class _NoAnswer(Exception):
    """Why a task has no answer, as the end of a sentence about the worker."""
