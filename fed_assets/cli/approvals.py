"""`fed-assets approve-code`: hospitals put on record which code may be given their keys."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fed_assets.cli.names import (
    SandboxName,
    elsewhere,
    own_hospitals,
    require_here,
    require_hospital,
)
from fed_assets.cli.saying import say
from fed_assets.errors import FedAssetsError, SandboxError
from fed_assets.federation.roster import read_roster
from fed_assets.resources.home import COORDINATOR, Home
from fed_assets.resources.settings import Settings
from fed_assets.sandboxes.controls import KeyCustody
from fed_assets.sandboxes.enforcement import shown
from fed_assets.sandboxes.presets import find_sandbox
from fed_assets.sandboxes.sandbox import Sandbox

if TYPE_CHECKING:
    from fed_assets.resources.hospital_runner import LocalHospitalRunner

SHOWN_DIGITS = 12  # of a measurement, where it is told from another


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
    say(f"key_custody: {shown(found, 'key_custody')}")
    with contextlib.closing(_runner(chosen.home, names)) as runner:
        for name in names:
            done = runner.ask(found, name, "approve_code", {})
            say(f"{name}: {told(done['measurement'], done['before'])}")
    for name in sorted(away):
        say(f"{name}: nothing was approved, for its machine is another; run the same command there")


def unapproved(home: Home, sandbox: Sandbox, hospitals: Sequence[str]) -> dict[str, str]:
    """Returns by whom a run of the sandbox would be refused, and what they have approved instead.

    Each hospital's own process is asked, as it alone measures the code; but nobody is for the sake
    of one that has no record, and hospitals on other machines are not asked from here.

    Args:
        home: Where the hospitals keep their records.
        sandbox: The sandbox; of one that measures no code, none is returned.
        hospitals: Who is asked; the coordinator is one of them if named.

    Raises:
        FedAssetsError: The hospitals' processes cannot be started.
    """
    if sandbox.key_custody is not KeyCustody.ATTESTED:
        return {}
    lacking = {name for name in hospitals if _lacks(home.approval(name, sandbox.name))}
    asked = [name for name in hospitals if name not in lacking]
    told = {name: "none approved" for name in lacking} | _outdated(home, sandbox, asked)
    return {name: told[name] for name in hospitals if name in told}


def _outdated(home: Home, sandbox: Sandbox, hospitals: Sequence[str]) -> dict[str, str]:
    """Returns who has approved other code than lies on the disk, and which."""
    if not hospitals:
        return {}
    found = {}
    with contextlib.closing(_runner(home, hospitals)) as runner:
        for name in hospitals:
            try:
                code = runner.ask(sandbox, name, "show_approval", {})
            except SandboxError:
                return {}  # what the run is refused for is no approval, and it will say so itself
            except FedAssetsError as error:  # its broker will not release the key to the run either
                found[name] = error.what
                continue
            if code["approved"] != code["installed"]:
                approved, installed = (_short(code[each]) for each in ("approved", "installed"))
                found[name] = f"approved {approved}, installed {installed}"
    return found


def _runner(home: Home, hospitals: Sequence[str]) -> LocalHospitalRunner:
    from fed_assets.resources.hospital_runner import LocalHospitalRunner

    return LocalHospitalRunner(
        home_folder=str(home.prepare().root),
        hospitals=list(hospitals),
        network="",
        stored_on=home.stored_on.value,
    )


def _short(measurement: str | None) -> str:
    return measurement[:SHOWN_DIGITS] if measurement else "none"


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
