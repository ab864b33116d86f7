"""A command job of the double: from NotStarted to its end, with a real process in between."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Protocol

_PLACEHOLDER = re.compile(r"\$\{\{(inputs|outputs)\.(\w+)\}\}")
_TIMEOUT = re.compile(r"^PT(?:(\d+)H)?(?:(\d+)M)?(?:(\d+)S)?$")
_DATASTORE = re.compile(r"^azureml://datastores/(\w+)/paths/(.+)$")
END_SECONDS = 20.0


class Workspace(Protocol):
    """What a job needs of its workspace."""

    folder: Path
    image: Path
    compute_is_free: threading.Event
    before_end: Callable[[Job], None]

    def datastore(self, name: str, path: str) -> Path:
        """Returns the folder of a datastore's path."""

    def job_environment(self) -> Mapping[str, str]:
        """Returns what every job finds in its environment."""


class Job:
    """One job.

    Args:
        name: Its name.
        described: The `properties` that it was handed in with.
        workspace: Where.

    Attributes:
        is_silent: Whether its compute no longer says how it stands.
        seen: Every status that it was said to have.
        ran: When its process began and ended, by the monotonic clock.
    """

    def __init__(self, name: str, described: Mapping[str, Any], workspace: Workspace) -> None:
        self.name = name
        self.described = described
        self.is_silent = False
        self.seen: list[str] = []
        self.ran: list[float] = []
        self._workspace = workspace
        self._status = "NotStarted"
        self._cancelled = threading.Event()
        self._preempted = threading.Event()
        self._process: subprocess.Popen[bytes] | None = None
        self._thread = threading.Thread(target=self._live, name=name)

    @property
    def status(self) -> str:
        """Returns how it stands, as its workspace knows."""
        said = "NotResponding" if self.is_silent and self._status == "Running" else self._status
        self.seen.append(said)
        return said

    @property
    def folder(self) -> Path:
        """Returns the folder that its process runs in, with what it printed."""
        return self._workspace.folder / "jobs" / self.name

    def start(self) -> None:
        """Queues it."""
        self._thread.start()

    def cancel(self) -> None:
        """Asks for its end."""
        if self._status not in ("Completed", "Failed", "Canceled"):
            self._status = "CancelRequested"
        self._cancelled.set()
        self._kill()

    def preempt(self) -> None:
        """Takes its compute away: its process ends, and it waits for another, to begin anew."""
        self._workspace.compute_is_free.clear()
        self._preempted.set()
        self._kill()

    @property
    def environment(self) -> dict[str, str]:
        """Returns what its process finds in its environment."""
        identity = self.described.get("identity", {})
        own = {"DEFAULT_IDENTITY_CLIENT_ID": identity["clientId"]} if "clientId" in identity else {}
        return {
            "PATH": f"{self._workspace.image}:/usr/bin:/bin",
            "HOME": str(self.folder),
            "AZUREML_RUN_ID": self.name,
            "OMP_NUM_THREADS": "1",
            **self._workspace.job_environment(),
            **self.described.get("environmentVariables", {}),
            **own,
        }

    def end(self) -> None:
        """Ends it, and waits for that."""
        self.cancel()
        self._workspace.compute_is_free.set()
        self._thread.join(END_SECONDS)

    def _kill(self) -> None:
        if self._process is not None:
            with suppress(ProcessLookupError):
                # Not SIGTERM: Dagster has it do what SIGINT does, which may be ignored.
                os.killpg(self._process.pid, signal.SIGKILL)

    def _live(self) -> None:
        ended_well = False
        while True:
            self._preempted.clear()
            self._status = "Queued"
            while not self._workspace.compute_is_free.wait(0.05):
                if self._cancelled.is_set():
                    break
            ended_well = not self._cancelled.is_set() and self._run()
            if self._cancelled.is_set() or not self._preempted.is_set():
                break
        if self._cancelled.is_set():
            self._status = "Canceled"
            return
        self._status = "Finalizing"
        self._workspace.before_end(self)
        self._status = "Completed" if ended_well else "Failed"

    def _run(self) -> bool:
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / "std_log.txt").open("ab") as log:
            self._process = subprocess.Popen(
                ["/bin/bash", "-c", _PLACEHOLDER.sub(self._mounted, self.described["command"])],
                cwd=self.folder,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self.ran.append(time.monotonic())
        self._status = "Running"
        if self._cancelled.is_set():
            self.cancel()
        try:
            return self._process.wait(self._timeout_seconds) == 0
        except subprocess.TimeoutExpired:
            self._cancelled.set()  # as the service ends what runs for longer than it may
            return False
        finally:
            self.ran.append(time.monotonic())
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)

    @property
    def _timeout_seconds(self) -> float:
        found = _TIMEOUT.match(self.described["limits"]["timeout"])
        assert found is not None
        hours, minutes, seconds = (int(each or 0) for each in found.groups())
        return 3600 * hours + 60 * minutes + seconds

    def _mounted(self, placeholder: re.Match[str]) -> str:
        binding = self.described[placeholder[1]][placeholder[2]]
        found = _DATASTORE.match(binding["uri"])
        assert found is not None
        folder = self._workspace.datastore(found[1], found[2])
        folder.mkdir(parents=True, exist_ok=True)
        return str(folder)
