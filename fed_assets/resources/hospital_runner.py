"""The door to hospitals: tasks go in, counts, digests and metrics come back."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import IO, Any

from dagster import ConfigurableResource, DagsterInstance, DagsterRun, InitResourceContext
from pydantic import PrivateAttr

from fed_assets.errors import FedAssetsError, IdentityRefused, WorkerFailed
from fed_assets.federation.origin import Origin
from fed_assets.resources.earlier_runs import PARTITION_TAG
from fed_assets.resources.home import Home
from fed_assets.resources.kept import kept, kept_by_all
from fed_assets.resources.templates import Templates
from fed_assets.resources.turns import take_turn
from fed_assets.resources.wanted import is_over, require_wanted
from fed_assets.resources.worker_process import WorkerProcess
from fed_assets.sandboxes.controls import Process
from fed_assets.sandboxes.presets import SANDBOX_NAMES
from fed_assets.sandboxes.sandbox import Sandbox

# Does neutral work on open data: the initial weights, the common test set.
COORDINATOR = "coordinator"


class LocalHospitalRunner(ConfigurableResource[Any]):
    """Runs hospitals' tasks in processes of this machine, forked from the run's templates.

    Each task has a process. Under `process: own` it is that hospital's, with its images and no
    others; under `process: shared` it may act for all.
    """

    home_folder: str
    hospitals: list[str]
    network: str
    task_timeout_seconds: float = 1800

    _templates: Templates = PrivateAttr()
    _turns: list[IO[str]] = PrivateAttr(default_factory=list)
    _peer: str = PrivateAttr("fed-assets")

    def model_post_init(self, context: Any) -> None:
        """Knows its templates; none is opened yet."""
        super().model_post_init(context)
        self._templates = Templates(self._home.temporary, self.network)

    def setup_for_execution(self, context: InitResourceContext) -> None:
        """Waits for the run's turn, then has templates load while the first steps start."""
        if context.run is not None and context.instance is not None:
            if is_over(context.instance, context.run.run_id):
                return
            self._peer = f"run {context.run.run_id}"
            self._take_turn(context, context.run, context.instance)
        self._templates.open()

    def teardown_after_execution(self, context: InitResourceContext) -> None:
        """Ends what was started for the run, and its turn."""
        self.close()
        while self._turns:
            self._turns.pop().close()

    def close(self) -> None:
        """Ends the templates, and all that was forked from them."""
        self._templates.close()

    @property
    def _home(self) -> Home:
        return Home(Path(self.home_folder))

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

        self._turns.append(take_turn(self._home, sandbox, on_wait))

    def origin(self) -> Origin:
        """Returns what starts the processes of this run's federation."""
        return self._templates.for_federation()

    def store(self, hospital: str, sandbox: Sandbox) -> Path:
        """Returns a hospital's store in a sandbox."""
        return self._home.store(hospital, sandbox.name)

    def kept_by_all(self, sandbox: Sandbox, hospitals: Iterable[str]) -> dict[str, Any]:
        """Returns what a federation's plan says of how these hospitals keep their files."""
        return kept_by_all(self._home, sandbox, hospitals)

    def _kept(self, sandbox: Sandbox, name: str) -> dict[str, Any]:
        place = kept(self._home, sandbox, name)
        # The coordinator's images are open.
        return place | {"suppress_below": 0} if name == COORDINATOR else place

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
        with contextlib.closing(self.worker(sandbox, hospital, task)) as worker:
            return worker.ask(
                task,
                hospital=hospital,
                arguments=arguments,
                timeout_seconds=self.task_timeout_seconds,
            )

    def worker(self, sandbox: Sandbox, hospital: str, task: str) -> WorkerProcess:
        """Returns a process for a task of a hospital; close it after.

        Raises:
            StorageError: the hospital's store cannot be written.
        """
        if sandbox.process is Process.SHARED:
            site, names = COORDINATOR, [*self.hospitals, COORDINATOR]
        else:
            site, names = hospital, [hospital]
        identity = {
            "hospitals": {name: self._kept(sandbox, name) for name in names},
            "previews": sandbox.previews,
            "peer": self._peer,
        }
        origin = self._templates.for_task(task)
        return WorkerProcess(origin, site, identity, store=self.store(site, sandbox))
