"""The walls around what a run starts, and the run's own process behind one of them."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from dagster import DagsterInstance, DagsterRun

from fed_assets.errors import FedAssetsError, IdentityRefused
from fed_assets.federation.walls import USERS, Walls, give
from fed_assets.resources.confinement import (
    Confinement,
    build_walls,
    confine_orchestrator,
    require_ways,
)
from fed_assets.resources.dead_runs import bury_dead_runs
from fed_assets.resources.earlier_runs import PARTITION_TAG
from fed_assets.resources.home import Home
from fed_assets.resources.run_watch import RunWatch
from fed_assets.resources.shared_weights import clear_shared
from fed_assets.resources.templates import Templates
from fed_assets.sandboxes.controls import Process
from fed_assets.sandboxes.sandbox import Sandbox

CONFINED_TAG = "fed_assets/confined"


class RunWalls:
    """The walls of one run, or of a command; none stand at first.

    Args:
        home: The home.
        templates: What the processes behind the walls are forked from.
        sources: Where the images of each hospital on this machine come from.

    Attributes:
        seconds: How long it took to build them, and to go behind one.
    """

    def __init__(
        self, home: Home, templates: Templates, sources: Mapping[str, Sequence[str]]
    ) -> None:
        self.seconds = 0.0
        self._home = home
        self._templates = templates
        self._sources = sources
        self._confined = ""
        self._confinement: Confinement | None = None
        self._refusal: FedAssetsError | None = None

    def confine_run(
        self, run: DagsterRun, instance: DagsterInstance, after: Callable[..., object]
    ) -> None:
        """Opens templates behind walls; then this process gives up what leads through them.

        Why the sandbox cannot be confined here, `confinement` raises: a step can say it so that a
        person reads it.

        Args:
            run: The run that this process is.
            instance: Dagster's.
            after: Takes what is to be called when the run is over.
        """
        try:
            self._confine(run, instance, after)
        except FedAssetsError as refusal:
            self._refusal = refusal

    def _confine(
        self, run: DagsterRun, instance: DagsterInstance, after: Callable[..., object]
    ) -> None:
        began = time.monotonic()
        sandbox = run.tags[PARTITION_TAG]
        walls = self.build(sandbox, self._home.federation(sandbox, run.run_id))
        # As whom it came, it can still tidy up after runs that were killed, and have that done.
        bury_dead_runs(instance, self._home)
        after(RunWatch(self._home.root, run.run_id).end)
        require_ways(walls, sandbox)
        self._templates.open(run.job_name)
        folder = None if instance.is_ephemeral else Path(instance.root_directory)
        self._confinement = confine_orchestrator(walls, self._home, folder, run.run_id)
        instance.add_run_tags(run.run_id, {CONFINED_TAG: json.dumps(self._confinement.as_record())})
        self.seconds = time.monotonic() - began

    def build(self, sandbox: str, federation: Path | None = None) -> Walls:
        """Builds them, and returns them.

        Raises:
            FedAssetsError: The sandbox cannot be confined here.
        """
        walls = build_walls(self._home, sandbox, self._sources, federation=federation)
        self._templates.walls = walls
        self._confined = sandbox
        return walls

    def require(self, sandbox: Sandbox) -> None:
        """Builds the sandbox's walls, unless they stand; for a command, which is no run.

        Raises:
            IdentityRefused: Processes were started without them, or behind another sandbox's.
            FedAssetsError: They cannot be built here.
        """
        if self._refusal is not None:
            raise self._refusal
        if not self._confined and not self._templates.opened:
            self.build(sandbox.name)
        if self._confined != sandbox.name:
            raise IdentityRefused(
                f"The walls of {sandbox.name} do not stand",
                seen=f"processes of {self._confined or 'another sandbox'} were started before",
                cure="Start what is confined as a run of its own",
            )

    def confinement(self, sandbox: Sandbox) -> Confinement | None:
        """Returns what stands around the run's processes; None where nothing is to.

        Raises:
            FedAssetsError: The sandbox cannot be confined here.
        """
        if self._refusal is not None:
            raise self._refusal
        return self._confinement if sandbox.process is Process.CONFINED else None

    def hand_over(self, federation: Path) -> None:
        """Gives the hub's user what was written for sites, who gives each its own."""
        walls = self._templates.walls
        if walls is not None and walls.kind == USERS:
            group = next(walls.sites[name].groups[0] for name in self._sources)
            give(federation, 0, walls.hub, group)

    def clear(self) -> None:
        """Removes what confined hospitals were given to read."""
        if self._confined:
            clear_shared(self._home.shared(self._confined))
