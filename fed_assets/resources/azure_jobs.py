"""The jobs of one hospital's workspace, as Dagster's client sees them: watched, and never lost.

Dagster's `PipesAzureMLClient` asks for a job's status until it has ended, however long that takes.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from azure.core.exceptions import AzureError

from fed_assets.federation.azure_ml import AzureML

if TYPE_CHECKING:
    from azure.ai.ml import MLClient
    from azure.ai.ml.entities import Command, Job

WAITED, RAN = "waited for its compute", "ran"
# What a job does that is neither running nor over.
PHASES = {
    **dict.fromkeys(
        ("NotStarted", "Starting", "Provisioning", "Preparing", "Queued", "Paused"),
        WAITED,
    ),
    "NotResponding": "was silent",
}
BADLY_ENDED = frozenset({"Failed", "Canceled"})
ENDED = BADLY_ENDED | {"Completed"}
# How long the end of a cancelled job is waited for.
CANCEL_SECONDS = 60.0
LOOK_SECONDS = 0.5


class GivenUp(Exception):
    """Why a job is not waited for any longer, as the end of a sentence about it."""


class WatchedJob:
    """One job, from when it is handed in to its end; stands in for the `MLClient` that runs it.

    Args:
        client: The workspace's.
        machine: Its time limits.
        task_timeout_seconds: How long the job may run.
        begins_anew: Whether it may, where its compute was taken away.
        require_wanted: Called at each look; raises where the run is to end.
        say: Told the job's name and address, once.
        over: Called when nothing more is to be expected of the job.

    Attributes:
        name: The job's name; empty until it is handed in.
        status: The last that was seen of it.
        studio_url: Where people see it.
    """

    def __init__(
        self,
        client: MLClient,
        machine: AzureML,
        task_timeout_seconds: float,
        *,
        begins_anew: bool,
        require_wanted: Callable[[], None],
        say: Callable[[str], None],
        over: Callable[[], None],
    ) -> None:
        self._client = client
        self._begins_anew = begins_anew
        self._limits = {
            WAITED: machine.start_timeout_seconds,
            "was silent": machine.silence_timeout_seconds,
            RAN: task_timeout_seconds,
        }
        self._require_wanted, self._say, self._over = require_wanted, say, over
        self._phase, self._began = "", dict.fromkeys(self._limits, 0.0)
        self.name = self.status = self.studio_url = ""

    @property
    def jobs(self) -> WatchedJob:
        """Returns itself: Dagster asks a client's `jobs`."""
        return self

    def create_or_update(self, job: Command) -> Job:
        """Hands the job in; its name is known before, so that it can be cancelled whatever comes.

        Raises:
            azure.core.exceptions.AzureError: It was not taken.
        """
        self.name = str(job.name)
        try:
            taken = self._client.create_or_update(job)
        except BaseException:
            self._over()
            raise
        self._note(taken)
        self._say(f"Azure ML took the job {self.name}: {self.studio_url}")
        return taken

    def get(self, name: str) -> Job:
        """Returns the job as it stands.

        Raises:
            GivenUp: It waited for a compute, was silent or ran for too long.
            azure.core.exceptions.AzureError: It cannot be asked for.
        """
        try:
            self._require_wanted()
            job: Job = self._client.jobs.get(name)
            self._note(job)
            self._require_in_time()
        except BaseException:
            self._over()
            raise
        if self.status in ENDED:
            self._over()
        return job

    def begin_cancel(self, name: str) -> None:
        """Asks for the job's end."""
        self._over()
        self._client.jobs.begin_cancel(name, polling=False)

    def cancel(self) -> str:
        """Ends the job unless it has ended; returns what came of it, as the end of a sentence.

        One that was perhaps never taken is cancelled too: the answer may have been lost.
        """
        if not self.name or self.status in ENDED:
            return ""
        try:
            self._client.jobs.begin_cancel(self.name, polling=False)
            until = time.monotonic() + CANCEL_SECONDS
            while self.status not in ENDED and time.monotonic() < until:
                self._note(self._client.jobs.get(self.name))
                time.sleep(LOOK_SECONDS)
        except AzureError:
            if self.status in ENDED or not self.status:
                return ""
            return "it could not be cancelled, so that it may still run"
        return "it was cancelled" if self.status in ENDED else "Azure ML was asked to cancel it"

    def _note(self, job: Job) -> None:
        self.status = str(getattr(job.status, "value", job.status))
        self.studio_url = job.studio_url or self.studio_url

    def _require_in_time(self) -> None:
        phase, now = PHASES.get(self.status, RAN), time.monotonic()
        if phase == WAITED and self._began[RAN] and not self._begins_anew:
            raise GivenUp("lost its compute, which was taken away from it")
        # A job that was silent, or had to wait once more, goes on with what it had of its time.
        if phase != self._phase and not (phase == RAN and self._began[RAN]):
            self._began[phase] = now
        self._phase = phase
        limit = self._limits[phase]
        if self.status not in ENDED and now - self._began[phase] > limit:
            raise GivenUp(f"{phase} for more than {limit:g} s")
