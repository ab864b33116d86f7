"""`fed-assets hospital`: what a hospital runs on a machine of its own."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fed_assets.cli.exit_codes import FAILED
from fed_assets.cli.findings import show_findings
from fed_assets.cli.saying import say
from fed_assets.errors import KitRefused, RunConfigError
from fed_assets.resources.settings import Settings

if TYPE_CHECKING:
    from fed_assets.hosts.identity import Identity
    from fed_assets.hosts.steps import Step

SETTINGS_FILE = "hospital.yaml"
hospital_app = typer.Typer(no_args_is_help=True, help="What a hospital's own machine runs.")
KitFile = Annotated[
    Path | None, typer.Argument(help="The start-up kit; left out once the machine has joined.")
]


@hospital_app.command()
def join(
    context: typer.Context,
    kit: KitFile = None,
    fingerprint: Annotated[
        str, typer.Option(help="The authority's, as its keeper told it by another way.")
    ] = "",
    settings: Annotated[
        Path | None,
        typer.Option(help="What the hospital accepts, and where its images are; see the README."),
    ] = None,
    check_only: Annotated[
        bool, typer.Option("--check-only", help="Say what is found, and serve nothing.")
    ] = False,
) -> None:
    """Take part as one hospital from this machine: check, connect, and serve until stopped.

    Connections go out from here alone, to one address. What serves is started anew where it dies.
    """
    from fed_assets.resources.host_preflight import preflight
    from fed_assets.resources.host_settings import read_host_settings

    chosen: Settings = context.obj
    home = chosen.home.prepare()
    path = settings or home.root / SETTINGS_FILE
    noted = read_host_settings(path).fingerprint if path.exists() else ""
    identity = _identity(chosen, kit, fingerprint or noted)
    home.hospital(identity.hospital).mkdir(parents=True, exist_ok=True, mode=0o700)
    allowed = read_host_settings(path)
    say(f"This machine is {identity.hospital}'s. It accepts {', '.join(allowed.accepts)}.")
    found = preflight(chosen, identity, allowed)
    show(found)
    if any(step.state == "failed" for step in found):
        raise typer.Exit(FAILED)
    if not check_only:
        raise typer.Exit(_serve(chosen, path))


def _identity(chosen: Settings, kit: Path | None, fingerprint: str) -> Identity:
    """Returns who this machine is: by a kit that it has not taken up yet, or from before."""
    from fed_assets.hosts.identity import read_identity, take_up
    from fed_assets.hosts.kit import read_kit

    known = read_identity(chosen.home.host)
    if kit is not None:
        read = read_kit(kit, expected=fingerprint)
        if not fingerprint:
            say(f"The authority's fingerprint, to be compared by another way: {read.fingerprint}")
        return take_up(read, chosen.home.host)
    if known is None:
        raise KitRefused(
            "This machine has not joined yet",
            where=str(chosen.home.host),
            cure="Name the start-up kit: `fed-assets hospital join KIT`",
        )
    return known


def _serve(chosen: Settings, settings: Path) -> int:
    """Keeps the process that serves, until this one is stopped; returns what to end with."""
    from fed_assets.resources.host_process import place_of
    from fed_assets.resources.kept_process import keep

    place = place_of(chosen, settings.resolve())
    command = [sys.executable, "-m", "fed_assets.resources.host_process", place]
    return keep(lambda: subprocess.Popen(command, start_new_session=True), say, signal.SIGTERM)


def examine_host(chosen: Settings, kit: Path | None) -> bool:
    """Shows each step of this machine's way to the door; says whether all went well.

    Args:
        chosen: Where the home is.
        kit: One that is not to be used up, where the machine has not joined.

    Raises:
        KitRefused: The kit cannot be used.
        RunConfigError: There is none, and the machine has not joined.
    """
    import tempfile

    from fed_assets.hosts.identity import read_identity, take_up
    from fed_assets.hosts.kit import read_kit
    from fed_assets.hosts.steps import try_steps

    with tempfile.TemporaryDirectory() as folder:
        if kit is not None:
            identity: Identity | None = take_up(read_kit(kit), Path(folder))
        else:
            identity = read_identity(chosen.home.host)
        if identity is None:
            raise RunConfigError(
                "This machine has not joined, so that nobody knows where the door is",
                where=str(chosen.home.host),
                cure="Name a start-up kit too: `fed-assets doctor --hospital --kit KIT`",
            )
        found, _ = try_steps(identity)
    show(found)
    return all(step.passed for step in found)


def show(found: list[Step]) -> None:
    """Prints a table of steps."""
    show_findings((step.name, step.state, step.seen, step.cure) for step in found)
