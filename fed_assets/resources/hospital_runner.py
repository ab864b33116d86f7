"""The door to hospitals: tasks go in, counts, digests and metrics come back."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from dagster import ConfigurableResource, DagsterInstance, DagsterRun, InitResourceContext
from pydantic import Field, PrivateAttr

from fed_assets.errors import FedAssetsError, IdentityRefused, WorkerFailed
from fed_assets.federation.origin import Origin
from fed_assets.federation.walls import Walls
from fed_assets.resources.confinement import (
    Confinement,
    build_walls,
    confine_orchestrator,
    require_ways,
)
from fed_assets.resources.dead_runs import bury_dead_runs
from fed_assets.resources.earlier_runs import PARTITION_TAG
from fed_assets.resources.home import COORDINATOR as COORDINATOR
from fed_assets.resources.home import Home, StoredOn
from fed_assets.resources.jobs import LIFECYCLE
from fed_assets.resources.kept import kept, kept_by_all
from fed_assets.resources.run_meter import RunMeter
from fed_assets.resources.run_watch import RunWatch
from fed_assets.resources.shared_weights import clear_shared, with_shared_copies
from fed_assets.resources.templates import Templates
from fed_assets.resources.turns import take_turn_of
from fed_assets.resources.wanted import is_over
from fed_assets.resources.worker_process import WorkerProcess
from fed_assets.sandboxes.controls import Process
from fed_assets.sandboxes.enforcement import require_enforced
from fed_assets.sandboxes.presets import SHIPPED_CONFIGURABLE, find_sandbox
from fed_assets.sandboxes.sandbox import Sandbox

CONFINED_TAG = "fed_assets/confined"


class LocalHospitalRunner(ConfigurableResource[Any]):
    """Runs hospitals' tasks in processes of this machine, forked from the run's templates.

    Each task has a process. Under `process: own` it is that hospital's, with its images and no
    others; under `process: shared` it may act for all. Under `process: confined` it stands behind
    walls, and the run's own process gives up all that leads through them before the first step.
    """

    home_folder: str
    hospitals: list[str]
    network: str
    configurable: str = str(SHIPPED_CONFIGURABLE)
    stored_on: str = StoredOn.DISK
    sources: dict[str, list[str]] = Field(default={})
    task_timeout_seconds: float = 1800

    _templates: Templates = PrivateAttr()
    _after_run: contextlib.ExitStack = PrivateAttr(default_factory=contextlib.ExitStack)
    _meter: RunMeter | None = PrivateAttr(None)
    _walls_seconds: float = PrivateAttr(0.0)
    _confined: str = PrivateAttr("")
    _confinement: Confinement | None = PrivateAttr(None)
    _refusal: FedAssetsError | None = PrivateAttr(None)
    _peer: str = PrivateAttr("fed-assets")

    def model_post_init(self, context: Any) -> None:
        """Knows its templates; none is opened yet."""
        super().model_post_init(context)
        self._templates = Templates(self._home.temporary, self.network, self.stored_on)

    def setup_for_execution(self, context: InitResourceContext) -> None:
        """Waits for the run's turn, then has templates load while the first steps start."""
        if context.run is not None and context.instance is not None:
            if is_over(context.instance, context.run.run_id):
                return
            self._peer = f"run {context.run.run_id}"
            turn = take_turn_of(context.run, context.instance, self._home, context.log)
            self._after_run.enter_context(turn)
            if context.run.job_name == LIFECYCLE:
                self._meter = RunMeter(self._home.root)
                self._after_run.callback(self._meter.end)
            sandbox = self._sandbox_of(context.run)
            if sandbox is not None:
                self._templates.expect(sandbox.update_protection)
            if sandbox is not None and sandbox.process is Process.CONFINED:
                try:
                    self._confine_run(context.run, context.instance)
                except FedAssetsError as refusal:
                    self._refusal = refusal  # a step can say it so that a person reads it
                return
        self._templates.open(context.run.job_name if context.run else "")

    def teardown_after_execution(self, context: InitResourceContext) -> None:
        """Ends what was started for the run, and its turn."""
        self.close()
        if self._confined:
            clear_shared(self._home.shared(self._confined))
        self._after_run.close()

    def close(self) -> None:
        """Ends the templates, and all that was forked from them."""
        self._templates.close()

    @property
    def _home(self) -> Home:
        return Home(Path(self.home_folder), StoredOn(self.stored_on))

    def _sandbox_of(self, run: DagsterRun) -> Sandbox | None:
        """Returns a run's sandbox; None for one that cannot be used, which each asset refuses."""
        with contextlib.suppress(FedAssetsError):
            name = run.tags.get(PARTITION_TAG, "")
            return require_enforced(find_sandbox(name, configurable=Path(self.configurable)))
        return None

    def _confine_run(self, run: DagsterRun, instance: DagsterInstance) -> None:
        """Opens templates behind walls; then this process gives up what leads through them.

        Raises:
            FedAssetsError: the sandbox cannot be confined here.
        """
        began = time.monotonic()
        sandbox = run.tags[PARTITION_TAG]
        walls = self._build_walls(sandbox, self._home.federation(sandbox, run.run_id))
        # As whom it came, it can still tidy up after runs that were killed, and have that done.
        bury_dead_runs(instance, self._home)
        self._after_run.callback(RunWatch(self._home.root, run.run_id).end)
        require_ways(walls, sandbox)
        self._templates.open(run.job_name)
        folder = None if instance.is_ephemeral else Path(instance.root_directory)
        self._confinement = confine_orchestrator(walls, self._home, folder, run.run_id)
        instance.add_run_tags(run.run_id, {CONFINED_TAG: json.dumps(self._confinement.as_record())})
        self._walls_seconds = time.monotonic() - began

    def _build_walls(self, sandbox: str, federation: Path | None = None) -> Walls:
        # The coordinator is the hub's own, whoever asks for it by name.
        names = [name for name in self.hospitals if name != COORDINATOR]
        sources = {name: self.sources.get(name, []) for name in names}
        walls = build_walls(self._home, sandbox, sources, federation=federation)
        self._templates.walls = walls
        self._confined = sandbox
        return walls

    def confinement(self, sandbox: Sandbox) -> Confinement | None:
        """Returns what stands around the run's processes; None where nothing is to.

        Raises:
            FedAssetsError: the sandbox cannot be confined here.
        """
        if self._refusal is not None:
            raise self._refusal
        return self._confinement if sandbox.process is Process.CONFINED else None

    @property
    def walls_seconds(self) -> float:
        """Returns how long it took to build this run's walls, and to go behind one."""
        return self._walls_seconds

    def measured(self) -> dict[str, Any] | None:
        """Returns what the run took so far, see `RunMeter.told`; None where nobody measures it."""
        return None if self._meter is None else self._meter.told()

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
        if sandbox.process is Process.CONFINED:
            arguments = with_shared_copies(arguments, self._home.shared(sandbox.name))
        with contextlib.closing(self.worker(sandbox, hospital, task)) as worker:
            answer = worker.ask(
                task,
                hospital=hospital,
                arguments=arguments,
                timeout_seconds=self.task_timeout_seconds,
            )
        if self._meter is not None:
            self._meter.note(hospital, answer)
        return answer

    def worker(self, sandbox: Sandbox, hospital: str, task: str) -> WorkerProcess:
        """Returns a process for a task of a hospital; close it after.

        Raises:
            StorageError: the hospital's store cannot be written.
        """
        walled = sandbox.process is Process.CONFINED
        if walled:
            self._require_walls(sandbox)
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
        return WorkerProcess(origin, site, identity, store=self.store(site, sandbox), walled=walled)

    def _require_walls(self, sandbox: Sandbox) -> None:
        """Builds the sandbox's walls, unless they stand; for a command, which is no run.

        Raises:
            IdentityRefused: processes were started without them, or behind another sandbox's.
            FedAssetsError: they cannot be built here.
        """
        if self._refusal is not None:
            raise self._refusal
        if not self._confined and not self._templates.opened:
            self._build_walls(sandbox.name)
        if self._confined != sandbox.name:
            raise IdentityRefused(
                f"The walls of {sandbox.name} do not stand",
                seen=f"processes of {self._confined or 'another sandbox'} were started before",
                cure="Start what is confined as a run of its own",
            )
