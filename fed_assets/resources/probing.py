"""Hospitals' processes with a canary each, for the attempts of a sandbox's posture."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from fed_assets.errors import FedAssetsError
from fed_assets.posture.evidence import Probe
from fed_assets.posture.in_containers import probes_in_containers
from fed_assets.posture.target import Target
from fed_assets.resources.home import Home
from fed_assets.resources.hospital_runner import LocalHospitalRunner
from fed_assets.resources.orchestrator_container import own_place
from fed_assets.resources.templates import PLANT
from fed_assets.sandboxes.sandbox import Sandbox

REMOVE = "remove_canary"
ANSWER_SECONDS = 60.0


@contextmanager
def planted_targets(
    hospitals: LocalHospitalRunner, sandbox: Sandbox, names: Iterable[str]
) -> Iterator[list[Target]]:
    """Yields a process of each hospital that keeps and holds a canary; all is removed after.

    Raises:
        FedAssetsError: A hospital's store or key cannot be used.
    """
    with ExitStack() as running:
        yield [running.enter_context(_target(hospitals, sandbox, name)) for name in names]


@contextmanager
def _target(hospitals: LocalHospitalRunner, sandbox: Sandbox, hospital: str) -> Iterator[Target]:
    worker = hospitals.worker(sandbox, hospital, PLANT)

    def ask(task: str, **arguments: Any) -> Mapping[str, Any]:
        limit = ANSWER_SECONDS
        return worker.ask(task, hospital=hospital, arguments=arguments, timeout_seconds=limit)

    with contextlib.closing(worker):
        kept = hospitals.kept_by_all(sandbox, [hospital])
        keys = [Path(path) for path in kept["key_files"].values()]
        try:
            store = hospitals.store(hospital, sandbox)
            yield Target.planted(hospital, worker.pid, store, keys, ask)
        finally:
            with contextlib.suppress(FedAssetsError):  # a process that died leaves it to the next
                ask(REMOVE)


def container_probes(home: Home, targets: Sequence[Target]) -> list[Probe]:
    """Returns the attempts on the containers that back the stores of these hospitals, if any do.

    Raises:
        ContainerRefused: It cannot be told which container is the orchestrator's.
    """
    return probes_in_containers(targets, own_place(home)) if home.on_containers else []
