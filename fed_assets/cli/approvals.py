"""`fed-assets approve-code`: hospitals put on record which code may be given their keys."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

import typer

from fed_assets.cli.names import (
    SandboxName,
    elsewhere,
    own_hospitals,
    require_here,
    require_hospital,
)
from fed_assets.cli.saying import say
from fed_assets.federation.roster import read_roster
from fed_assets.resources.home import Home
from fed_assets.resources.settings import Settings
from fed_assets.sandboxes.controls import KeyCustody
from fed_assets.sandboxes.enforcement import shown
from fed_assets.sandboxes.presets import find_sandbox
from fed_assets.sandboxes.sandbox import Sandbox


def approve_code(
    context: typer.Context,
    sandbox: SandboxName,
    hospitals: Annotated[
        list[str] | None,
        typer.Argument(
            help="Only these. If none: all that are here, and the coordinator; on a hospital's own "
            "host that hospital."
        ),
    ] = None,
) -> None:
    """Have hospitals approve the code as installed: no other is given their keys in this sandbox.

    Each hospital's own process measures it and keeps the record, beside the hospital's key.
    """
    from fed_assets.resources.hospital_runner import COORDINATOR, LocalHospitalRunner

    chosen: Settings = context.obj
    found = find_sandbox(sandbox, configurable=chosen.configurable)
    names, away = hospitals or list(own_hospitals(chosen)), set[str]()
    if not names:
        away = elsewhere(chosen)
        ids = read_roster(chosen.roster).hospital_ids
        names = [*(name for name in ids if name not in away), COORDINATOR]
    for name in set(names) - {COORDINATOR}:
        require_hospital(chosen, name)
        require_here(chosen, name)
    if found.key_custody is not KeyCustody.ATTESTED:
        say(f"{sandbox} measures no code: there is nothing to approve.")
        return
    runner = LocalHospitalRunner(
        home_folder=str(chosen.home.prepare().root),
        hospitals=names,
        network="",
        stored_on=chosen.home.stored_on.value,
    )
    say(f"key_custody: {shown(found, 'key_custody')}")
    with contextlib.closing(runner):
        for name in names:
            done = runner.ask(found, name, "approve_code", {})
            say(f"{name}: {told(done['measurement'], done['before'])}")
    for name in sorted(away):
        say(f"{name}: nothing was approved, for its machine is another; run the same command there")


def unapproved(home: Home, sandbox: Sandbox, hospitals: Iterable[str]) -> list[str]:
    """Returns those that have approved no code yet, which a run of the sandbox would be refused by.

    Whose record cannot be looked for from here is left out: the run itself asks; and so it does
    which code it was, as each hospital's own process alone measures that.
    """
    if sandbox.key_custody is not KeyCustody.ATTESTED:
        return []
    return [name for name in hospitals if _lacks(home.approval(name, sandbox.name))]


def _lacks(record: Path) -> bool:
    try:
        return not record.exists()
    except OSError:
        return False


def told(measurement: str, before: str | None) -> str:
    """Returns what came of one hospital's approval."""
    if before == measurement:
        return f"{measurement} was approved already; it is on record once more"
    if before:
        return f"{measurement} is approved, and {before} no longer"
    return f"{measurement} is approved"
