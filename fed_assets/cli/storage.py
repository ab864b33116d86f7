"""`fed-assets storage`: the containers of Azure's storage that back what hospitals and we keep."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from fed_assets.cli.exit_codes import FAILED
from fed_assets.cli.saying import say
from fed_assets.errors import ContainerRefused
from fed_assets.federation.roster import read_roster
from fed_assets.resources.home import COORDINATOR
from fed_assets.resources.settings import Settings

ORCHESTRATOR = "orchestrator"
out = Console()
storage_app = typer.Typer(no_args_is_help=True, help="Containers of Azure's storage.")


@storage_app.command()
def issue(
    context: typer.Context,
    account_url: Annotated[str, typer.Argument(help="https://ACCOUNT.blob.core.windows.net")],
    key_file: Annotated[Path, typer.Option(help="A file of mode 600 with the account's key.")],
    days: Annotated[int, typer.Option(min=1, max=365, help="How long tokens are valid.")] = 30,
) -> None:
    """Give the orchestrator and every hospital a container, and a token of its own for it.

    For whoever owns the storage account. A hospital's file belongs on the hospital's machine alone.
    """
    from fed_assets.containers.issuing import container_name, read_key
    from fed_assets.containers.issuing import issue as issue_to
    from fed_assets.containers.place import write_place

    chosen: Settings = context.obj
    home, key = chosen.home.prepare(), read_key(key_file)
    for party in (COORDINATOR, *read_roster(chosen.roster).hospital_ids):
        named = ORCHESTRATOR if party == COORDINATOR else party
        issued = issue_to(account_url, key, named, days=days)
        write_place(home.container(party), issued.own)
        for why, place in home.dead_containers(party).items():
            write_place(place, issued.dead[why])
        say(f"{named}: {container_name(named)}, for {days} days: {home.container(party)}")
    if not home.on_containers:
        say("Set FED_ASSETS_STORAGE=blob to use them.")


@storage_app.command()
def check(context: typer.Context) -> None:
    """Say which containers can be used by what lies on this machine."""
    chosen: Settings = context.obj
    table = Table("whose", "state")
    for heading in ("container", "to mend it"):
        table.add_column(heading, overflow="fold")
    refused = False
    for party in (COORDINATOR, *read_roster(chosen.roster).hospital_ids):
        named = ORCHESTRATOR if party == COORDINATOR else party
        where, refusal = _tried(chosen.home.container(party))
        state = "[green]ok[/]" if refusal is None else "[red]refused[/]"
        mend = "" if refusal is None else f"{refusal.what}. {refusal.seen}. {refusal.cure}"
        table.add_row(named, state, where, mend)
        refused = refused or refusal is not None
    out.print(table)
    said = "they back what is kept" if chosen.home.on_containers else "this machine's disk is used"
    say(f"FED_ASSETS_STORAGE={chosen.home.stored_on}: {said}.")
    if refused and chosen.home.on_containers:
        raise typer.Exit(FAILED)


@storage_app.command()
def fetch(context: typer.Context) -> None:
    """Bring the reports, weights and records of another machine's runs into this home."""
    from fed_assets.resources.orchestrator_container import fetch_files

    chosen: Settings = context.obj
    moved = fetch_files(chosen.home.prepare())
    say(f"{moved.files} files, {moved.received_bytes} bytes.")


def _tried(file: Path) -> tuple[str, ContainerRefused | None]:
    from fed_assets.containers.container import Container
    from fed_assets.containers.place import read_place

    where = str(file)
    try:
        place = read_place(file)
        where = place.url
        with closing(Container(place)) as container:
            container.found("none/")
    except ContainerRefused as refusal:
        return where, refusal
    return where, None
