"""Hospitals' processes with a canary each, for the attempts of a sandbox's posture."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from fed_assets.errors import FedAssetsError
from fed_assets.posture.target import Target
from fed_assets.resources.hospital_runner import LocalHospitalRunner
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

    def ask(task: str) -> Mapping[str, Any]:
        return worker.ask(task, hospital=hospital, arguments={}, timeout_seconds=ANSWER_SECONDS)

    with contextlib.closing(worker):
        kept = hospitals.kept_by_all(sandbox, [hospital])
        keys = [Path(path) for path in kept["key_files"].values()]
        try:
            store = hospitals.store(hospital, sandbox)
            yield Target.planted(hospital, worker.pid, store, keys, ask)
        finally:
            with contextlib.suppress(FedAssetsError):  # a process that died leaves it to the next
                ask(REMOVE)
