"""The door to hospitals of which some have a machine of their own, and the others are here."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from dagster import InitResourceContext
from pydantic import Field, PrivateAttr

from fed_assets.errors import IdentityRefused
from fed_assets.federation.azure_ml import AzureML
from fed_assets.federation.plan import FederationPlan
from fed_assets.resources.azure_hosts import AzureHosts
from fed_assets.resources.azure_runner import AzureMLHospitalRunner
from fed_assets.resources.hospital_port import HospitalRunner
from fed_assets.resources.hospital_runner import LocalHospitalRunner
from fed_assets.resources.wanted import is_over, require_wanted
from fed_assets.resources.withdrawn_hospitals import require_stayed
from fed_assets.resources.worker_process import WorkerProcess
from fed_assets.sandboxes.sandbox import Sandbox

# A machine outlives its federation's time limit by the other hospitals' start, and its own end.
MARGIN_SECONDS = 600.0


class MixedHospitalRunner(LocalHospitalRunner):
    """Runs each hospital's tasks where its machine is: in Azure ML, or in processes here.

    `azure_ml` has the roster's entry of each hospital whose machine is there.
    """

    azure_ml: dict[str, Any] = Field(default={})

    _azure: AzureMLHospitalRunner = PrivateAttr()

    def model_post_init(self, context: Any) -> None:
        """Knows who has a machine elsewhere; nothing is asked of it yet."""
        super().model_post_init(context)
        self._azure = AzureMLHospitalRunner(
            {name: AzureML.model_validate(entry) for name, entry in self.azure_ml.items()},
            self._home.root / "keys" / "azure_ml",
            task_timeout_seconds=self.task_timeout_seconds,
        )

    def setup_for_execution(self, context: InitResourceContext) -> None:
        """Has jobs end with the run, and their addresses stand in its log."""
        run, instance = context.run, context.instance
        if run is not None and instance is not None and not is_over(instance, run.run_id):
            self._azure.read_keys()
            self._azure.peer = f"run {run.run_id}"
            self._azure.require_wanted = require_wanted(instance, run.run_id)
            if context.log is not None:
                self._azure.say = context.log.info
        super().setup_for_execution(context)

    def close(self) -> None:
        """Ends whatever was started, here and elsewhere."""
        self._azure.close()
        super().close()

    @property
    def away(self) -> list[str]:
        """The hospitals whose processes are on machines of their own."""
        return [*super().away, *self.azure_ml]

    @contextmanager
    def sites(
        self, sandbox: Sandbox, plan: FederationPlan, say: Callable[[str], None]
    ) -> Iterator[FederationPlan]:
        """Yields a plan that hospitals' own machines take part in; Azure ML starts some for that.

        From then on these are reached as any other, see `RemoteHospitals.sites`.
        """
        seconds = plan.total_timeout_seconds + MARGIN_SECONDS
        with (
            AzureHosts(self._azure, list(self.azure_ml), self._hosts, seconds, say) as machines,
            self._hosts.sites(sandbox, plan, self.away, say, machines) as joined,
        ):
            yield joined

    def ask_for(
        self,
        peer: str,
        sandbox: Sandbox,
        hospital: str,
        task: str,
        arguments: Mapping[str, Any],
    ) -> dict[str, Any]:
        """Returns a hospital's answer to a task; see `HospitalRunner.ask`."""
        runner = self._elsewhere(hospital)
        if runner is None:
            return super().ask_for(peer, sandbox, hospital, task, arguments)
        require_stayed(self._home, sandbox.name, hospital, task)
        answer = runner.ask(sandbox, hospital, task, arguments)
        if self._meter is not None:
            self._meter.note(hospital, answer)
        return answer

    def worker(self, sandbox: Sandbox, hospital: str, task: str, peer: str = "") -> WorkerProcess:
        """Returns a process of this machine for a task of a hospital; close it after.

        Raises:
            IdentityRefused: the hospital's machine is elsewhere.
            StorageError: the hospital's store cannot be written.
        """
        if self._elsewhere(hospital) is not None:
            raise IdentityRefused(
                f"{hospital} has no process on this machine", cure="Ask it for a task instead"
            )
        return super().worker(sandbox, hospital, task, peer)

    def _elsewhere(self, hospital: str) -> HospitalRunner | None:
        """Returns what runs the tasks of a hospital whose machine is not this one."""
        return self._azure if hospital in self.azure_ml else None
