"""`fed-assets federation kit` and `door`: hospitals on hosts of their own, from the hub's side."""

from __future__ import annotations

import os
import signal
import threading
from pathlib import Path
from typing import Annotated

import typer

from fed_assets.cli.saying import say
from fed_assets.errors import RunConfigError, StorageError, system_reason
from fed_assets.federation.code_version import code_version
from fed_assets.federation.roster import read_roster
from fed_assets.resources.settings import Settings


def say_start_again(chosen: Settings, hospital: str) -> None:
    """Says what is to be done on a hospital's own machine, if it has one, to be let in again.

    Raises:
        RosterError: The roster cannot be used.
    """
    if hospital in read_roster(chosen.roster).remote_ids:
        say(
            "Its own machine gave up when it was turned away: have `fed-assets hospital join` "
            "started there again; it needs no new kit while its certificate lasts."
        )


def kit(
    context: typer.Context,
    hospital: Annotated[str, typer.Argument(help="The hospital's id; it is remote.")],
    to: Annotated[
        Path | None, typer.Option(help="The file; HOSPITAL.kit in this folder, if left out.")
    ] = None,
) -> None:
    """Write the signed start-up kit of a hospital on a host of its own; others' stay valid.

    It holds that hospital's certificate alone, and serves once: bring it there by a way that you
    trust, and tell the fingerprint by another.
    """
    from fed_assets.hosts.identity import HOSPITAL_LIFETIME
    from fed_assets.hosts.issued import Issued
    from fed_assets.hosts.kit import make_kit, read_kit
    from fed_assets.hosts.succession import keep_authority

    chosen: Settings = context.obj
    roster = read_roster(chosen.roster)
    if hospital not in roster.remote_ids:
        in_azure = hospital in roster.azure_ids
        raise RunConfigError(
            f"The roster has no hospital {hospital} on a host of its own",
            where=str(chosen.roster),
            seen=f"remote: {', '.join(roster.remote_ids) or 'none'}",
            cure="Start a run: its machine in Azure ML gets a kit for each federation by itself"
            if in_azure
            else "Say `remote: images` at the hospital, or `remote: share`",
        )
    folder = chosen.home.prepare().hosts
    authority = keep_authority(folder, known_within=HOSPITAL_LIFETIME)
    content, certificate = make_kit(
        authority, hospital, roster.federation.door, version=code_version()
    )
    path = to or Path(f"{hospital}.kit")
    try:
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(content)
    except OSError as error:
        raise StorageError(
            "The kit cannot be written",
            where=str(path),
            seen=system_reason(error),
            cure="Name another file by `--to`",
        ) from None
    Issued(folder).give_kit(hospital, certificate.serial_number)
    made = read_kit(path)
    say(f"{path}: the kit of {hospital}, which serves once, until {made.valid_until:%Y-%m-%d}")
    say(f"fingerprint of the authority: {made.fingerprint}")


def door(
    context: typer.Context,
    listen: Annotated[
        str, typer.Option(help="The address of this machine to listen on; all, if left out.")
    ] = "0.0.0.0",
) -> None:
    """Let hospitals on hosts of their own in, until stopped; runs reach them through it."""
    from fed_assets.hosts.desk import Desk
    from fed_assets.hosts.door import Door
    from fed_assets.hosts.tls import split_address
    from fed_assets.resources.host_terms import kits_for, terms_for

    chosen: Settings = context.obj
    roster = read_roster(chosen.roster)
    if not roster.federation.door:
        raise RunConfigError(
            "The roster names no door",
            where="federation.door",
            cure="Write there at which address hospitals' machines call, such as "
            "federation.example.org:8443",
        )
    home, port = chosen.home.prepare(), split_address(roster.federation.door)[1]
    over = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: over.set())
    desk = Desk(home.hosts, terms_for(chosen), kits_for(chosen))
    opened = Door(home.hosts, home.revocations, desk, (listen, port), say)
    say(f"The door is open on {listen}:{opened.port}; stop it by Ctrl-C.")
    over.wait()
    opened.close()
    desk.close()
