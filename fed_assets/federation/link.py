"""The main process's end of its supervisor's channel: a job is asked for, its end heard of."""

from __future__ import annotations

import queue
import socket
import threading
from collections.abc import Mapping, Sequence

from nvflare.apis.job_launcher_spec import JobHandleSpec, JobReturnCode
from nvflare.app_common.job_launcher.process_launcher import JOB_RETURN_CODE_MAPPING

from fed_assets.errors import JobFailed
from fed_assets.federation.happenings import hear, tell

ANSWER_SECONDS = 30.0

_channel: socket.socket | None = None


def join(channel: socket.socket) -> None:
    """Keeps a main process's channel to its supervisor, until its launcher asks for it."""
    global _channel
    _channel = channel


class ForkedJob(JobHandleSpec):  # type: ignore[misc]
    """A job's process, which the supervisor has forked."""

    def __init__(self, channel: socket.socket, pid: int) -> None:
        self._channel = channel
        self._pid = pid
        self._ended = threading.Event()
        self.code: int | None = None

    def end(self, code: int) -> None:
        """Notes the exit code."""
        self.code = code
        self._ended.set()

    def terminate(self) -> None:
        """Has the supervisor kill it."""
        tell(self._channel, {"terminate": self._pid})

    def poll(self) -> int:
        """Returns NVFlare's code for how it ended, or UNKNOWN while it runs."""
        if self.code is None:
            return int(JobReturnCode.UNKNOWN)
        return int(JOB_RETURN_CODE_MAPPING.get(self.code, JobReturnCode.EXECUTION_ERROR))

    def wait(self) -> None:
        """Waits for its end."""
        self._ended.wait()


class Link:
    """The channel in use; a thread hears what comes over it."""

    def __init__(self, channel: socket.socket) -> None:
        self._channel = channel
        self._asking = threading.Lock()
        self._started: queue.Queue[ForkedJob] = queue.Queue()
        threading.Thread(target=self._listen, name="supervisor", daemon=True).start()

    def start_job(self, arguments: Sequence[str], credentials: Mapping[str, str]) -> ForkedJob:
        """Returns a job's process, which the supervisor has forked.

        Raises:
            JobFailed: The supervisor did not answer.
        """
        with self._asking:
            tell(self._channel, {"start": list(arguments), "credentials": dict(credentials)})
            try:
                return self._started.get(timeout=ANSWER_SECONDS)
            except queue.Empty:
                raise JobFailed("The site's supervisor does not start the job") from None

    def _listen(self) -> None:
        jobs: dict[int, ForkedJob] = {}
        # This process dies with its supervisor: the end of the channel needs no care.
        while message := hear(self._channel):
            if "started" in message:
                job = jobs[message["started"]] = ForkedJob(self._channel, message["started"])
                self._started.put(job)
            else:
                jobs.pop(message["ended"]).end(message["code"])


def open_link() -> Link | None:
    """Returns the link to this process's supervisor, or None where it was spawned and has none."""
    return Link(_channel) if _channel is not None else None
