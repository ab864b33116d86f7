"""The door to hospitals: tasks go in, counts, digests and metrics come back."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from dagster import ConfigurableResource, InitResourceContext
from pydantic import Field, PrivateAttr

from fed_assets.errors import FedAssetsError, IdentityRefused, WorkerFailed
from fed_assets.federation.origin import Origin
from fed_assets.federation.plan import FederationPlan
from fed_assets.resources.confinement import Confinement
from fed_assets.resources.home import COORDINATOR as COORDINATOR
from fed_assets.resources.home import Home, StoredOn
from fed_assets.resources.jobs import LIFECYCLE
from fed_assets.resources.kept import identity_of, kept_by_all
from fed_assets.resources.kept_workers import KeptWorkers
from fed_assets.resources.remote_hospitals import RemoteHospitals
from fed_assets.resources.run_meter import RunMeter
from fed_assets.resources.run_walls import RunWalls
from fed_assets.resources.sandboxes import sandbox_of
from fed_assets.resources.shared_weights import with_shared_copies
from fed_assets.resources.templates import Templates
from fed_assets.resources.turns import take_turn_of
from fed_assets.resources.wanted import is_over
from fed_assets.resources.withdrawn_hospitals import require_stayed
from fed_assets.resources.worker_process import WorkerProcess
from fed_assets.sandboxes.controls import Process
from fed_assets.sandboxes.presets import REFERENCE, SHIPPED_CONFIGURABLE
from fed_assets.sandboxes.sandbox import Sandbox


class LocalHospitalRunner(ConfigurableResource[Any]):
    """Runs hospitals' tasks in processes of this machine, forked from the run's templates.

    Each task has a process; on open data, many have one. Under `process: own` it is that
    hospital's, with its images and no others; under `process: shared` it may act for all. Under
    `process: confined` it stands behind walls, and the run's own process gives up all that leads
    through them before the first step.
    Hospitals that are `remote` have machines of their own, which do the same there.
    """

    home_folder: str
    hospitals: list[str]
    network: str
    configurable: str = str(SHIPPED_CONFIGURABLE)
    stored_on: str = StoredOn.DISK.value  # Dagster would take an enumeration by its name
    sources: dict[str, list[str]] = Field(default={})
    remote: list[str] = Field(default=[])
    task_timeout_seconds: float = 1800

    _templates: Templates = PrivateAttr()
    _workers: KeptWorkers = PrivateAttr(default_factory=KeptWorkers)
    _hosts: RemoteHospitals = PrivateAttr()
    _after_run: contextlib.ExitStack = PrivateAttr(default_factory=contextlib.ExitStack)
    _meter: RunMeter | None = PrivateAttr(None)
    _walls: RunWalls = PrivateAttr()
    _peer: str = PrivateAttr("fed-assets")

    def model_post_init(self, context: Any) -> None:
        """Knows its templates; none is opened yet."""
        super().model_post_init(context)
        self._templates = Templates(self._home.temporary, self.network, self.stored_on)
        self._hosts = RemoteHospitals(self._home.hosts)
        # The coordinator is the hub's own, whoever asks for it by name.
        sources = {name: self.sources.get(name, []) for name in self.here if name != COORDINATOR}
        self._walls = RunWalls(self._home, self._templates, sources)

    def setup_for_execution(self, context: InitResourceContext) -> None:
        """Waits for the run's turn, then has templates load while the first steps start."""
        if context.run is not None and context.instance is not None:
            if is_over(context.instance, context.run.run_id):
                return
            self._peer = f"run {context.run.run_id}"
            if self.away:  # behind walls, nobody could any more
                self._hosts.reach()
            turn = take_turn_of(context.run, context.instance, self._home, context.log)
            self._after_run.enter_context(turn)
            if context.run.job_name == LIFECYCLE:
                self._meter = RunMeter(self._home.root)
                self._after_run.callback(self._meter.end)
            sandbox = sandbox_of(context.run.tags, Path(self.configurable))
            if sandbox is not None:
                self._templates.expect(sandbox.update_protection)
            if sandbox is not None and sandbox.process is Process.CONFINED:
                self._walls.confine_run(context.run, context.instance, self._after_run.callback)
                return
        self._templates.open(context.run.job_name if context.run else "")

    def teardown_after_execution(self, context: InitResourceContext) -> None:
        """Ends what was started for the run, and its turn."""
        self.close()
        self._walls.clear()
        self._after_run.close()

    def close(self) -> None:
        """Ends the templates, and all that was forked from them, and what leads elsewhere."""
        self._workers.close()
        self._templates.close()
        self._hosts.close()

    @property
    def away(self) -> list[str]:
        """The hospitals whose processes are on machines of their own."""
        return list(self.remote)

    @property
    def here(self) -> list[str]:
        """The hospitals whose processes are on this machine."""
        return [name for name in self.hospitals if name not in self.away]

    @contextlib.contextmanager
    def sites(
        self, sandbox: Sandbox, plan: FederationPlan, say: Callable[[str], None]
    ) -> Iterator[FederationPlan]:
        """Yields a plan that hospitals' own machines take part in, see `RemoteHospitals.sites`."""
        with self._hosts.sites(sandbox, plan, self.away, say) as joined:
            yield joined

    @property
    def _home(self) -> Home:
        return Home(Path(self.home_folder), StoredOn(self.stored_on))

    def confinement(self, sandbox: Sandbox) -> Confinement | None:
        """Returns what stands around the run's processes; None where nothing is to.

        Raises:
            FedAssetsError: the sandbox cannot be confined here.
        """
        return self._walls.confinement(sandbox)

    def confine_site(self, sandbox: Sandbox, federation: Path | None = None) -> None:
        """Has all that is started from here stand behind walls; for whoever is no run.

        Raises:
            FedAssetsError: the sandbox cannot be confined here.
        """
        self._walls.build(sandbox.name, federation)

    def hand_over(self, federation: Path) -> None:
        """Gives the hub's user what was written for a site, who gives it to the site's own."""
        self._walls.hand_over(federation)

    @property
    def walls_seconds(self) -> float:
        """Returns how long it took to build this run's walls, and to go behind one."""
        return self._walls.seconds

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
        names = list(hospitals)
        here = [name for name in names if name not in self.away]
        away = {name: "" for name in names if name in self.away}  # keys come later, if ever
        return {**kept_by_all(self._home, sandbox, here), "remote": away}

    def ask(
        self, sandbox: Sandbox, hospital: str, task: str, arguments: Mapping[str, Any]
    ) -> dict[str, Any]:
        """Returns a hospital's answer to a task that this run asks for; see `ask_for`."""
        return self.ask_for(self._peer, sandbox, hospital, task, arguments)

    def ask_for(
        self,
        peer: str,
        sandbox: Sandbox,
        hospital: str,
        task: str,
        arguments: Mapping[str, Any],
    ) -> dict[str, Any]:
        """Returns a hospital's answer to a task.

        Where the process fails, the hospital's next one removes what it left half-written.

        Raises:
            IdentityRefused: the roster has no such hospital.
            HospitalWithdrawn: it withdrew, and its images were to be looked at.
            FedAssetsError: what the hospital's process answered, or WorkerFailed.
        """
        if hospital not in (*self.hospitals, COORDINATOR):
            raise IdentityRefused(
                f"The roster has no hospital {hospital}", cure="Correct the hospital's id"
            )
        require_stayed(self._home, sandbox.name, hospital, task)
        try:
            return self._ask(peer, sandbox, hospital, task, arguments)
        except WorkerFailed:
            with contextlib.suppress(FedAssetsError):
                self._ask(peer, sandbox, hospital, "clear_away", {})
            raise

    def _ask(
        self,
        peer: str,
        sandbox: Sandbox,
        hospital: str,
        task: str,
        arguments: Mapping[str, Any],
    ) -> dict[str, Any]:
        if hospital in self.remote and sandbox.name != REFERENCE:  # open data lie here too
            limit = self.task_timeout_seconds
            answer = self._hosts.ask(sandbox, hospital, task, arguments, peer, limit)
        else:
            answer = self._ask_here(peer, sandbox, hospital, task, arguments)
        self._templates.load()
        if self._meter is not None:
            self._meter.note(hospital, answer)
        return answer

    def _ask_here(
        self,
        peer: str,
        sandbox: Sandbox,
        hospital: str,
        task: str,
        arguments: Mapping[str, Any],
    ) -> dict[str, Any]:
        if sandbox.process is Process.CONFINED:
            arguments = with_shared_copies(arguments, self._home.shared(sandbox.name))
        start = partial(self.worker, sandbox, hospital, task, peer)
        # Of open data it may act for all places, and holds nothing that another may not see.
        kept_as = (self._templates.for_task(task), peer) if sandbox.name == REFERENCE else None
        with self._workers.lent(start, kept_as) as worker:
            limit = self.task_timeout_seconds
            return worker.ask(task, hospital=hospital, arguments=arguments, timeout_seconds=limit)

    def worker(self, sandbox: Sandbox, hospital: str, task: str, peer: str = "") -> WorkerProcess:
        """Returns a process for a task of a hospital, asked for by a peer; close it after.

        Raises:
            StorageError: the hospital's store cannot be written.
        """
        walled = sandbox.process is Process.CONFINED
        if walled:
            self._walls.require(sandbox)
        if sandbox.process is Process.SHARED:
            of_all = self.hospitals if sandbox.name == REFERENCE else self.here
            site, names = COORDINATOR, [*of_all, COORDINATOR]
        else:
            site, names = hospital, [hospital]
        identity = identity_of(self._home, sandbox, names, peer or self._peer)
        origin = self._templates.for_task(task)
        return WorkerProcess(origin, site, identity, store=self.store(site, sandbox), walled=walled)
