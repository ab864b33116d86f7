"""Arguments that several commands take."""

from __future__ import annotations

from typing import Annotated

import typer

from fed_assets.errors import RunConfigError
from fed_assets.federation.roster import read_roster
from fed_assets.resources.settings import Settings
from fed_assets.sandboxes.presets import SANDBOX_NAMES

SandboxName = Annotated[str, typer.Argument(help=f"One of {', '.join(SANDBOX_NAMES)}.")]


def require_hospital(chosen: Settings, hospital: str) -> None:
    """Refuses an id that is neither in the roster nor that of a hospital with a store.

    Raises:
        RunConfigError: It is one.
        RosterError: The roster cannot be used.
    """
    known = own_hospitals(chosen) + read_roster(chosen.roster).hospital_ids
    folders = {path.name for path in (chosen.home.root / "hospitals").glob("*")}
    if hospital not in known and hospital not in folders:
        raise RunConfigError(
            f"There is no hospital {hospital}", cure=f"Choose one of {', '.join(known)}"
        )


def require_here(chosen: Settings, hospital: str) -> None:
    """Refuses what a command would ask of a hospital whose machine is another, but on that.

    Raises:
        RunConfigError: It is: what it keeps there is out of reach from here.
        RosterError: The roster cannot be used.
    """
    if hospital not in elsewhere(chosen):
        return
    machines = {each.id: each.azure_ml for each in read_roster(chosen.roster).hospitals}
    machine = machines[hospital]
    if machine is None:
        raise RunConfigError(
            f"{hospital} is on a host of its own, and so is what it keeps",
            cure="Run the same command there",
        )
    raise RunConfigError(
        f"The machine of {hospital} is in Azure ML, and what it keeps lies in its own storage",
        where=f"{machine.home} of the workspace {machine.workspace}",
        cure="Have the hospital run the same command on a machine of its own that mounts this "
        "folder, with FED_ASSETS_HOME set to where it is mounted",
    )


def elsewhere(chosen: Settings) -> set[str]:
    """Returns the hospitals of the roster whose machine is not this one.

    Raises:
        RosterError: The roster cannot be used.
    """
    return set(read_roster(chosen.roster).elsewhere_ids) - set(own_hospitals(chosen))


def own_hospitals(chosen: Settings) -> tuple[str, ...]:
    """Returns the hospitals whose own machine this is, or whose own folder is the home."""
    from fed_assets.containers.job_messages import owners
    from fed_assets.hosts.identity import read_identity

    joined = read_identity(chosen.home.host)
    return (joined.hospital,) if joined else tuple(sorted(owners(chosen.home.root)))
