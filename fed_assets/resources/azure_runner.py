"""The door to hospitals whose machines are computes of Azure ML: a job per task."""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fed_assets.containers.place import Place, read_place
from fed_assets.errors import (
    CloudRefused,
    ContainerRefused,
    FedAssetsError,
    IdentityRefused,
    WorkerFailed,
)
from fed_assets.federation.azure_ml import AzureML
from fed_assets.resources.home import Home
from fed_assets.resources.hospital_port import result_of
from fed_assets.resources.kept import kept
from fed_assets.resources.shared_weights import read_weights
from fed_assets.sandboxes.sandbox import Sandbox

if TYPE_CHECKING:
    from fed_assets.resources.azure_machine import AzureMachine

POLL_SECONDS = 5.0


class AzureMLHospitalRunner:
    """Runs each task of a hospital as a command job of the hospital's own workspace.

    The job starts the same worker as on one machine. Its task lies in a blob, as the context of
    Dagster Pipes, and its reply comes back as Pipes' message. Of a hospital's jobs one runs at a
    time.

    Args:
        machines: By the hospital's id, where its jobs run.
        keys: The folder of the files `HOSPITAL.json` that say how the containers of their messages
            are opened, see `containers.place`; where there is none, it is by the identity that
            azure-identity finds.
        task_timeout_seconds: How long a job may run.
        poll_seconds: How often Azure ML is asked how a job stands.

    Attributes:
        peer: Who asks, as the hospital's outbox log shall say.
        say: Told the name and the address of each job.
        require_wanted: Called again and again while a job runs; raises where the run is to end.
    """

    def __init__(
        self,
        machines: Mapping[str, AzureML],
        keys: Path,
        *,
        task_timeout_seconds: float = 1800,
        poll_seconds: float = POLL_SECONDS,
    ) -> None:
        self._places = dict(machines)
        self._keys = keys
        self._task_timeout_seconds = task_timeout_seconds
        self._poll_seconds = poll_seconds
        self._turns = {hospital: threading.Lock() for hospital in machines}
        self._unclear: set[str] = set()
        self._machines: dict[str, AzureMachine] = {}
        self._opened: dict[str, Place] = {}
        self.peer = "fed-assets"
        self.say: Callable[[str], None] = logging.getLogger(__name__).info
        self.require_wanted: Callable[[], None] = lambda: None

    def read_keys(self) -> None:
        """Reads what opens containers, as the user that it belongs to.

        The run's process may take on another one; what cannot be used, the first job says.
        """
        for hospital in self._places:
            with contextlib.suppress(FedAssetsError):
                self._messages(hospital)

    def ask(
        self, sandbox: Sandbox, hospital: str, task: str, arguments: Mapping[str, Any]
    ) -> dict[str, Any]:
        """Returns a hospital's answer to a task.

        Where a job fails, the hospital's next one removes what it left half-written.

        Raises:
            IdentityRefused: the hospital has no machine in Azure ML.
            CloudRefused: Azure did not do what it was asked, or it cannot be told how the container
                of its messages is opened.
            StorageError: the weights among the arguments cannot be read.
            FedAssetsError: what the hospital's job answered, or WorkerFailed.
        """
        if hospital not in self._places:
            raise IdentityRefused(
                f"{hospital} has no machine in Azure ML", cure="Correct the hospital's id"
            )
        weights = read_weights(arguments)
        others = {name: value for name, value in arguments.items() if name not in weights}
        requests = [{"task": task, "hospital": hospital, "arguments": others}]
        with self._turns[hospital]:
            if hospital in self._unclear:
                requests.insert(0, {"task": "clear_away", "hospital": hospital})
            try:
                reply = self._machine(hospital).reply(
                    task,
                    {"identity": self._identity(sandbox, hospital), "requests": requests},
                    weights,
                    require_wanted=self.require_wanted,
                    say=self.say,
                )
            except WorkerFailed:
                self._unclear.add(hospital)
                raise
            self._unclear.discard(hospital)
        return result_of(reply)

    def serve(
        self, hospital: str, kit: bytes, seconds: float, require_wanted: Callable[[], None]
    ) -> None:
        """Has a hospital's machine join one federation; returns when it has served, and has ended.

        Args:
            hospital: Its id.
            kit: The start-up kit that it joins by, which goes through its own container.
            seconds: How long it may serve.
            require_wanted: As the attribute; raises where the machine is to end.

        Raises:
            CloudRefused: As for `ask`.
            FedAssetsError: Why it could not join, or does not serve any longer.
        """
        from fed_assets.resources.azure_clients import HOST
        from fed_assets.resources.azure_machine import AzureMachine

        with self._turns[hospital]:
            # What a host leaves half-written where it is ended, the next task removes.
            self._unclear.add(hospital)
            machine = AzureMachine(
                hospital,
                self._places[hospital],
                self._messages(hospital),
                task_timeout_seconds=seconds,
                poll_seconds=self._poll_seconds,
                program=HOST,
                begins_anew=False,
            )
            with contextlib.closing(machine):
                reply = machine.reply(
                    "serve", {}, {"kit": kit}, require_wanted=require_wanted, say=self.say
                )
        result_of(reply)

    def start_seconds(self, hospital: str) -> float:
        """Returns how long a job of a hospital's may wait for its compute."""
        return self._places[hospital].start_timeout_seconds

    def close(self) -> None:
        """Closes what was opened; a job ends with the call that asked for it."""
        while self._machines:
            self._machines.popitem()[1].close()

    def _identity(self, sandbox: Sandbox, hospital: str) -> dict[str, Any]:
        """Returns what the worker is told; its places lie in the home of the hospital's machine."""
        return {
            "hospitals": {hospital: kept(Home(Path()), sandbox, hospital)},
            "previews": sandbox.previews,
            "peer": self.peer,
        }

    def _machine(self, hospital: str) -> AzureMachine:
        if hospital not in self._machines:
            from fed_assets.resources.azure_machine import AzureMachine

            self._machines[hospital] = AzureMachine(
                hospital,
                self._places[hospital],
                self._messages(hospital),
                task_timeout_seconds=self._task_timeout_seconds,
                poll_seconds=self._poll_seconds,
            )
        return self._machines[hospital]

    def _messages(self, hospital: str) -> Place:
        """Returns how the container of a hospital's messages is opened.

        Raises:
            CloudRefused: What is kept for it cannot be used, or is another container's.
        """
        if hospital in self._opened:
            return self._opened[hospital]
        own, url = self._keys / f"{hospital}.json", self._places[hospital].messages
        try:
            place = read_place(own) if own.exists() else Place(url, identity="")
        except ContainerRefused as error:  # which is this hospital's trouble, and no other's
            raise CloudRefused(
                error.what, where=error.where, seen=error.seen, cure=error.cure
            ) from None
        if place.url != url:
            raise CloudRefused(
                "What opens the container of a hospital's messages is another container's",
                where=str(own),
                seen=place.url,
                cure=f"Have the hospital issue it for {url}",
            )
        self._opened[hospital] = place
        return place
