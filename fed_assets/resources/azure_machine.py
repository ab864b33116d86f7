"""One hospital's machine in Azure ML: a job handed in, watched, and its reply read.

Imported when a job is first started: Azure's packages take seconds.
"""

# No `from __future__ import annotations` here: Dagster reads the annotations of ops.

import secrets
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Any, cast

from azure.ai.ml import MLClient
from azure.ai.ml.entities import Command
from azure.core.exceptions import AzureError
from azure.identity import DefaultAzureCredential
from azure.storage.blob import BlobServiceClient
from dagster import (
    DagsterExecutionInterruptedError,
    OpExecutionContext,
    build_op_context,
    op,
)
from dagster_azure.pipes import PipesAzureMLClient

from fed_assets.containers.place import Place
from fed_assets.errors import WorkerFailed
from fed_assets.federation.azure_ml import AzureML
from fed_assets.resources.azure_clients import TASKS, describe_job, open_account, open_workspace
from fed_assets.resources.azure_jobs import BADLY_ENDED, GivenUp, WatchedJob
from fed_assets.resources.azure_messages import ANSWER, Messages
from fed_assets.resources.azure_refusals import refused
from fed_assets.resources.hospital_port import read_answer

IN_THE_STUDIO = (
    "Look at the job in the studio, which shows its log to whom the hospital lets into its "
    "workspace, and run again"
)


class AzureMachine:
    """Where one hospital's jobs run; a job's reply is the worker's own.

    Args:
        hospital: Its id.
        place: The roster's entry.
        messages: How the orchestrator opens the container of its messages.
        task_timeout_seconds: How long a job may run.
        poll_seconds: How often Azure ML is asked how a job stands.
        program: What a job runs.
        begins_anew: Whether a job whose compute was taken away can begin anew on another.
    """

    def __init__(
        self,
        hospital: str,
        place: AzureML,
        messages: Place,
        *,
        task_timeout_seconds: float,
        poll_seconds: float,
        program: str = TASKS,
        begins_anew: bool = True,
    ) -> None:
        self._hospital = hospital
        self._place = place
        self._messages = messages
        self._task_timeout_seconds = task_timeout_seconds
        self._poll_seconds = poll_seconds
        self._program = program
        self._begins_anew = begins_anew

    def reply(
        self,
        task: str,
        asked: Mapping[str, Any],
        files: Mapping[str, bytes],
        *,
        require_wanted: Callable[[], None],
        say: Callable[[str], None],
    ) -> dict[str, Any]:
        """Returns the worker's reply, of a job that is over then, whatever happened.

        Args:
            task: What the job is for.
            asked: What the job's program takes.
            files: What goes with it, by its name there.
            require_wanted: Raises where the run is to end.
            say: Told where the job can be seen.

        Raises:
            CloudRefused: Azure did not do what it was asked.
            WorkerFailed: There is no reply.
        """
        name = f"{self._hospital}-{secrets.token_hex(8)}"
        messages = Messages(self._account, self._place.container)
        watched = WatchedJob(
            self._workspace,
            self._place,
            self._task_timeout_seconds,
            begins_anew=self._begins_anew,
            require_wanted=require_wanted,
            say=say,
            over=messages.reader.end,
        )
        job = describe_job(
            self._place,
            self._hospital,
            name,
            program=self._program,
            task=task,
            timeout_seconds=self._task_timeout_seconds,
        )
        try:
            told = messages.put_files(files)
            said = self._run(job, watched, messages, {**asked, "files": told})
            if watched.status != "Completed":  # Dagster's client drops the interruption
                raise DagsterExecutionInterruptedError
        except GivenUp as reason:
            came = watched.cancel()
            raise self._failed(f"{reason}; {came}", task, watched) from None
        except AzureError as error:
            what = f"the job {watched.name}" if watched.name else "the messages"
            came = watched.cancel()
            raise refused(error, self._hospital, what, came) from None
        except Exception:
            if watched.status in BADLY_ENDED:  # which Dagster's client says in its own words
                raise self._failed(f"ended as {watched.status}", task, watched) from None
            watched.cancel()
            raise
        except BaseException:
            watched.cancel()
            raise
        finally:
            messages.clear()
        answers = [read_answer(each[ANSWER]) for each in said]
        if len(answers) != 1 or answers[0] is None:
            what = "answered nonsense" if answers else "ended without an answer"
            raise self._failed(what, task, watched, messages.reader.trouble)
        return answers[0]

    def close(self) -> None:
        """Closes what was opened."""
        for name in ("_account", "_credential"):
            if name in self.__dict__:
                self.__dict__.pop(name).close()
        self.__dict__.pop("_workspace", None)

    def _run(
        self, job: Command, watched: WatchedJob, messages: Messages, asked: Mapping[str, Any]
    ) -> Sequence[Any]:
        client = PipesAzureMLClient(
            cast("MLClient", watched),  # of which it uses what a `WatchedJob` has
            context_injector=messages.injector,
            message_reader=messages.reader,
            poll_interval_seconds=self._poll_seconds,
        )

        @op
        def hospital_job(context: OpExecutionContext) -> Any:
            done = client.run(context=context, command=job, extras=dict(asked))
            return done.get_custom_messages()

        # With the run's own context, what a job says would come into the run's events; and a sensor
        # or a command has none.
        with build_op_context() as context:
            answers: Sequence[Any] = hospital_job(context)
        return answers

    def _failed(self, what: str, task: str, watched: WatchedJob, seen: str = "") -> WorkerFailed:
        return WorkerFailed(
            f"Azure ML's job {watched.name} of {self._hospital} {what} in the task {task}",
            where=watched.studio_url,
            seen=", ".join(filter(None, [f"status {watched.status}", seen])),
            cure=IN_THE_STUDIO,
        )

    @cached_property
    def _credential(self) -> DefaultAzureCredential:
        return DefaultAzureCredential()

    @cached_property
    def _workspace(self) -> MLClient:
        return open_workspace(self._place, self._credential)

    @cached_property
    def _account(self) -> BlobServiceClient:
        return open_account(self._messages)
