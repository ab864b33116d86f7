"""The door to hospitals: tasks go in, counts, digests and metrics come back."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from dagster import ConfigurableResource, InitResourceContext
from pydantic import PrivateAttr

from fed_assets.errors import IdentityRefused
from fed_assets.resources.home import Home
from fed_assets.resources.worker_process import WorkerProcess
from fed_assets.sandboxes.controls import Process
from fed_assets.sandboxes.sandbox import Sandbox

# Does neutral work on open data: the initial weights, the common test set.
COORDINATOR = "coordinator"


class LocalHospitalRunner(ConfigurableResource[Any]):
    """Runs hospitals' tasks in processes of this machine.

    Under `process: shared` one process acts for all hospitals and lives as long as the run; under
    `process: own` every task gets a process of that hospital alone, with its images and no others.
    """

    home_folder: str
    hospitals: list[str]
    task_timeout_seconds: float = 1800

    _shared: dict[str, WorkerProcess] = PrivateAttr(default_factory=dict)
    _starting: Any = PrivateAttr(default_factory=threading.Lock)

    def store(self, hospital: str, sandbox: Sandbox) -> Path:
        """Returns a hospital's store in a sandbox."""
        return Home(Path(self.home_folder)).store(hospital, sandbox.name)

    def ask(
        self, sandbox: Sandbox, hospital: str, task: str, arguments: Mapping[str, Any]
    ) -> dict[str, Any]:
        """Returns a hospital's answer to a task.

        Raises:
            IdentityRefused: the roster has no such hospital.
            FedAssetsError: what the hospital's process answered, or WorkerFailed.
        """
        if hospital not in (*self.hospitals, COORDINATOR):
            raise IdentityRefused(
                f"The roster has no hospital {hospital}", cure="Correct the hospital's id"
            )
        with self._worker(sandbox, hospital) as worker:
            return worker.ask(
                task,
                hospital=hospital,
                arguments=arguments,
                timeout_seconds=self.task_timeout_seconds,
            )

    def teardown_after_execution(self, context: InitResourceContext) -> None:
        """Ends the shared processes with the run."""
        self.close()

    def close(self) -> None:
        """Ends the shared processes."""
        while self._shared:
            self._shared.popitem()[1].close()

    @contextmanager
    def _worker(self, sandbox: Sandbox, hospital: str) -> Iterator[WorkerProcess]:
        if sandbox.process is Process.SHARED:
            yield self._shared_worker(sandbox)
            return
        worker = self._start(sandbox, [hospital])
        try:
            yield worker
        finally:
            worker.close()

    def _shared_worker(self, sandbox: Sandbox) -> WorkerProcess:
        with self._starting:
            worker = self._shared.get(sandbox.name)
            if worker is None or not worker.alive:
                worker = self._start(sandbox, [*self.hospitals, COORDINATOR])
                self._shared[sandbox.name] = worker
            return worker

    def _start(self, sandbox: Sandbox, hospitals: list[str]) -> WorkerProcess:
        stores = {hospital: self.store(hospital, sandbox) for hospital in hospitals}
        identity = {
            "hospitals": {name: {"store": str(store)} for name, store in stores.items()},
            "previews": sandbox.previews,
            "statistics": str(sandbox.statistics),
        }
        return WorkerProcess(identity, log=stores[hospitals[-1]] / "worker.log")
