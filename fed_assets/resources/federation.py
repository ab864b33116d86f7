"""The door to the federation: a plan goes in, rounds come out while they happen."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from dagster import (
    AssetExecutionContext,
    ConfigurableResource,
    InitResourceContext,
)
from pydantic import PrivateAttr

from fed_assets.errors import FedAssetsError
from fed_assets.federation import warm
from fed_assets.federation.half_done import clear_half_done
from fed_assets.federation.origin import Origin
from fed_assets.federation.plan import FederationPlan
from fed_assets.federation.progress import Event
from fed_assets.federation.results import FederationResult
from fed_assets.resources.confinement import own_confinement
from fed_assets.resources.dead_runs import bury_dead_runs, sign_in
from fed_assets.resources.home import Home
from fed_assets.resources.run_watch import RunWatch
from fed_assets.resources.session_process import run_session
from fed_assets.resources.wanted import is_over, require_wanted
from fed_assets.sandboxes.controls import Process


class LocalFederation(ConfigurableResource[Any]):
    """Runs plans on this machine: on the sandbox's warm federation, or on one of the run's own."""

    home_folder: str

    _watches: list[RunWatch] = PrivateAttr(default_factory=list)

    def setup_for_execution(self, context: InitResourceContext) -> None:
        """Signs the run in and ends those that died, before a step waits for a dead run's place."""
        if context.instance is None or context.run is None:
            return
        if not is_over(context.instance, context.run.run_id):
            home = Home(Path(self.home_folder))
            bury_dead_runs(context.instance, home)
            sign_in(context.instance, context.run.run_id)
            if own_confinement() is None:  # or else one watches that can do more
                self._watches.append(RunWatch(home.root, context.run.run_id))

    def teardown_after_execution(self, context: InitResourceContext) -> None:
        """Ends the watch over the run."""
        while self._watches:
            self._watches.pop().end()

    def run(
        self,
        context: AssetExecutionContext,
        plan: FederationPlan,
        on_event: Callable[[Event], None],
        *,
        origin: Origin,
    ) -> FederationResult:
        """Returns the result of a plan; `on_event` hears of each step and round as it happens.

        Args:
            context: the step's.
            plan: what to run.
            on_event: called with each event of the session but the last.
            origin: where the processes of a federation of the run's own come from.

        Raises:
            FedAssetsError: what the federation ended with.
        """
        Path(plan.folder).mkdir(parents=True, exist_ok=True, mode=0o700)
        folder = Home(Path(self.home_folder)).warm(plan.sandbox)
        require = require_wanted(context.instance, context.run.run_id)

        def hear(event: Event) -> None:
            require()
            on_event(event)

        try:
            if self._is_warm(context, plan, folder):
                try:
                    return warm.run(folder, plan, hear, on_silence=require)
                except warm.Refused as reason:
                    context.log.info(f"The warm federation does not take the run: {reason}.")
            return run_session(context, plan, on_event, origin, require)
        except BaseException:
            clear_half_done(Path(plan.folder))  # what was killed could not do it itself
            raise

    def _is_warm(self, context: AssetExecutionContext, plan: FederationPlan, folder: Path) -> bool:
        """Returns whether a federation is up that can take the plan, mending one that cannot."""
        seen = warm.status(folder)
        if seen is None:
            return False
        if plan.remote:
            context.log.info("Hospitals elsewhere join a federation of the run's own.")
            return False
        if plan.process == Process.CONFINED:
            context.log.info("A confined run has a federation of its own; the warm one stays.")
            return False
        reason = warm.unfit(seen, plan)
        if reason is None:
            context.log.info(
                f"The run goes to the warm federation, which is up since {seen['since']}."
            )
            return True
        if seen["busy"]:
            context.log.info(f"The warm federation works for another run, and is unfit: {reason}.")
            return False
        say = context.log.warning if seen["alarms"] else context.log.info
        say(f"The warm federation is provisioned anew: {reason}.")
        try:
            warm.bring_up(plan, folder, lambda _: None)
        except FedAssetsError as error:
            context.log.warning(f"It could not be: {error} The run goes on with one of its own.")
            return False
        return True
