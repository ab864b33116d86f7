"""The door to hospitals: tasks go in, counts, digests and metrics come back."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

from dagster import ConfigurableResource, DagsterInstance, DagsterRun, InitResourceContext
from pydantic import PrivateAttr

from fed_assets.errors import FedAssetsError, IdentityRefused, WorkerFailed
from fed_assets.federation.origin import Origin, open_origin
from fed_assets.federation.preload import FEDERATION_MODULES, learning_modules
from fed_assets.resources.earlier_runs import PARTITION_TAG
from fed_assets.resources.home import Home
from fed_assets.resources.turns import take_turn
from fed_assets.resources.wanted import require_wanted
from fed_assets.resources.worker_process import WORKER, WorkerProcess
from fed_assets.sandboxes.controls import Process
from fed_assets.sandboxes.presets import SANDBOX_NAMES
from fed_assets.sandboxes.sandbox import Sandbox

# Does neutral work on open data: the initial weights, the common test set.
COORDINATOR = "coordinator"
# Beside what a federation needs: what workers and the federation's session import.
PRELOADED = (
    WORKER,
    "fed_assets.hospital.images",
    "fed_assets.hospital.contact_sheet",
    "fed_assets.hospital.validation",
    "fed_assets.hospital.evaluation",
    "fed_assets.hospital.executor",
    "great_expectations",
    "sklearn.metrics",
    "fed_assets.resources.session_child",
    "nvflare.fuel.flare_api.flare_api",
    "nvflare.lighter.provisioner",
)


class LocalHospitalRunner(ConfigurableResource[Any]):
    """Runs hospitals' tasks in processes of this machine, forked from one template per run.

    Each task has a process. Under `process: own` it is that hospital's, with its images and no
    others; under `process: shared` it may act for all.
    """

    home_folder: str
    hospitals: list[str]
    network: str
    task_timeout_seconds: float = 1800

    _opened: list[Origin] = PrivateAttr(default_factory=list)
    _turns: list[IO[str]] = PrivateAttr(default_factory=list)
    _opening: Any = PrivateAttr(default_factory=threading.Lock)

    def setup_for_execution(self, context: InitResourceContext) -> None:
        """Waits for the run's turn, then has the template load while the first steps start."""
        if context.run is not None and context.instance is not None:
            self._take_turn(context, context.run, context.instance)
        self.origin()

    def teardown_after_execution(self, context: InitResourceContext) -> None:
        """Ends what was started for the run, and its turn."""
        self.close()
        while self._turns:
            self._turns.pop().close()

    def close(self) -> None:
        """Ends the template, and all that it forked."""
        while self._opened:
            self._opened.pop().close()

    def _take_turn(
        self, context: InitResourceContext, run: DagsterRun, instance: DagsterInstance
    ) -> None:
        sandbox = run.tags.get(PARTITION_TAG)
        if sandbox not in SANDBOX_NAMES:
            return  # each asset refuses it
        require = require_wanted(instance, run.run_id)
        told = False

        def on_wait() -> None:
            nonlocal told
            require()
            if not told and context.log is not None:
                context.log.info(f"Waits for its turn: another run of {sandbox} is under way.")
            told = True

        self._turns.append(take_turn(Home(Path(self.home_folder)), sandbox, on_wait))

    def origin(self) -> Origin:
        """Returns what starts this run's processes; a new one, where the last has broken."""
        with self._opening:
            if not self._opened or self._opened[-1].broken():
                temporary = Home(Path(self.home_folder)).temporary
                temporary.mkdir(parents=True, exist_ok=True, mode=0o700)
                names = [*PRELOADED, *FEDERATION_MODULES, *learning_modules(self.network)]
                self._opened.append(open_origin(names, temporary))
            return self._opened[-1]

    def store(self, hospital: str, sandbox: Sandbox) -> Path:
        """Returns a hospital's store in a sandbox."""
        return Home(Path(self.home_folder)).store(hospital, sandbox.name)

    def ask(
        self, sandbox: Sandbox, hospital: str, task: str, arguments: Mapping[str, Any]
    ) -> dict[str, Any]:
        """Returns a hospital's answer to a task.

        Where the process fails, the hospital's next one removes what it left half-written.

        Raises:
            IdentityRefused: the roster has no such hospital.
            FedAssetsError: what the hospital's process answered, or WorkerFailed.
        """
        if hospital not in (*self.hospitals, COORDINATOR):
            raise IdentityRefused(
                f"The roster has no hospital {hospital}", cure="Correct the hospital's id"
            )
        try:
            return self._ask(sandbox, hospital, task, arguments)
        except WorkerFailed:
            with contextlib.suppress(FedAssetsError):
                self._ask(sandbox, hospital, "clear_away", {})
            raise

    def _ask(
        self, sandbox: Sandbox, hospital: str, task: str, arguments: Mapping[str, Any]
    ) -> dict[str, Any]:
        with contextlib.closing(self.worker(sandbox, hospital)) as worker:
            return worker.ask(
                task,
                hospital=hospital,
                arguments=arguments,
                timeout_seconds=self.task_timeout_seconds,
            )

    def worker(self, sandbox: Sandbox, hospital: str) -> WorkerProcess:
        """Returns a process for a task of a hospital; close it after.

        Raises:
            StorageError: the hospital's store cannot be written.
        """
        if sandbox.process is Process.SHARED:
            site, names = COORDINATOR, [*self.hospitals, COORDINATOR]
        else:
            site, names = hospital, [hospital]
        identity = {
            "hospitals": {name: {"store": str(self.store(name, sandbox))} for name in names},
            "previews": sandbox.previews,
            "statistics": str(sandbox.statistics),
        }
        return WorkerProcess(self.origin(), site, identity, store=self.store(site, sandbox))
