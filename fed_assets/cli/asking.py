"""How a command asks a hospital about what it keeps."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import Any

from fed_assets.cli.names import require_here
from fed_assets.errors import RunConfigError
from fed_assets.resources.settings import Settings
from fed_assets.sandboxes.sandbox import Sandbox


def ask_keeper(
    chosen: Settings, sandbox: Sandbox, hospital: str, task: str, arguments: Mapping[str, Any]
) -> dict[str, Any]:
    """Returns what a process of a hospital answers that keeps something in a sandbox.

    Raises:
        RunConfigError: It keeps nothing there, or on a host of its own.
        FedAssetsError: What the hospital's process answered in place of it.
    """
    from fed_assets.resources.hospital_runner import LocalHospitalRunner

    store = chosen.home.store(hospital, sandbox.name)
    require_here(chosen, hospital)
    if not store.is_dir():
        raise RunConfigError(
            f"{hospital} keeps nothing in {sandbox.name}",
            where=str(store),
            cure=f"Correct the hospital's id, or run `fed-assets run {sandbox.name}` first",
        )
    runner = LocalHospitalRunner(
        home_folder=str(chosen.home.root),
        hospitals=[hospital],
        network="",
        stored_on=chosen.home.stored_on.value,
    )
    with contextlib.closing(runner):
        return runner.ask(sandbox, hospital, task, arguments)
