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
    """Refuses what a command would ask of a hospital that is on a host of its own, but on that.

    Raises:
        RunConfigError: It is: what it keeps there is out of reach from here.
        RosterError: The roster cannot be used.
    """
    if hospital in elsewhere(chosen):
        raise RunConfigError(
            f"{hospital} is on a host of its own, and so is what it keeps",
            cure="Run the same command there",
        )


def elsewhere(chosen: Settings) -> set[str]:
    """Returns the hospitals of the roster that are on hosts of their own, none of them this one.

    Raises:
        RosterError: The roster cannot be used.
    """
    return set(read_roster(chosen.roster).remote_ids) - set(own_hospitals(chosen))


def own_hospitals(chosen: Settings) -> tuple[str, ...]:
    """Returns the hospital whose own host this machine is; none where it has not joined."""
    from fed_assets.hosts.identity import read_identity

    own = read_identity(chosen.home.host)
    return (own.hospital,) if own else ()
