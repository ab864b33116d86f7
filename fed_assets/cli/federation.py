"""`fed-assets federation`: the one that stays up between runs, and who may not take part."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from fed_assets.cli.hosts import say_start_again
from fed_assets.cli.names import SandboxName, require_hospital
from fed_assets.errors import HospitalWithdrawn
from fed_assets.federation import revocations, warm
from fed_assets.federation.roster import read_roster
from fed_assets.federation.warm_folder import is_coming_up
from fed_assets.federation.withdrawals import read_withdrawals
from fed_assets.resources.settings import Settings
from fed_assets.sandboxes.enforcement import require_enforced
from fed_assets.sandboxes.presets import find_sandbox
from fed_assets.sandboxes.sandbox import Sandbox

EXIT_NOT_UP = EXIT_NOT_REVOKED = 1
HospitalId = Annotated[str, typer.Argument(help="The hospital's id.")]
InSandbox = Annotated[
    str | None, typer.Option("--sandbox", help="One sandbox alone; without it, in all.")
]
federation_app = typer.Typer(no_args_is_help=True, help="The federations of a sandbox.")
out = Console()


@federation_app.command()
def up(context: typer.Context, sandbox: SandboxName) -> None:
    """Provision and start a sandbox's federation, which stays up for the runs to come."""
    from fed_assets.resources.warm_plan import warm_plan

    chosen: Settings = context.obj
    found = _find(chosen, sandbox)
    require_enforced(found)
    plan = warm_plan(read_roster(chosen.roster), found, chosen.home.prepare())
    folder = chosen.home.warm(sandbox)
    seen = warm.status(folder)
    if seen is not None and warm.unfit(seen, plan) is None:
        out.print(f"The federation of {sandbox} is up already, since {seen['since']}.")
        return
    with out.status(f"{sandbox}: starting") as shown:
        warm.bring_up(plan, folder, lambda event: shown.update(f"{sandbox}: {event['event']}"))
    seen = warm.status(folder) or {}
    _show(seen)
    out.print(f"Runs of {sandbox} use it from now on; its log is {folder / warm.LOG_FILE}")


@federation_app.command()
def down(context: typer.Context, sandbox: SandboxName) -> None:
    """Stop a sandbox's federation, and a job that it may be working on."""
    chosen: Settings = context.obj
    _find(chosen, sandbox)
    was_up = warm.take_down(chosen.home.warm(sandbox))
    out.print(f"The federation of {sandbox} {'is down' if was_up else 'was not up'}.")


@federation_app.command()
def status(
    context: typer.Context,
    sandbox: SandboxName,
    as_json: Annotated[bool, typer.Option("--json", help="Print it as JSON.")] = False,
) -> None:
    """Say whether a sandbox's federation is up, what it is, and what it costs while it waits.

    Ends with 1 where none is up.
    """
    chosen: Settings = context.obj
    _find(chosen, sandbox)
    folder = chosen.home.warm(sandbox)
    seen = warm.status(folder)
    if as_json:
        print(json.dumps(seen, indent=1))
    elif seen is None and is_coming_up(folder):
        out.print(f"The federation of {sandbox} is coming up, or going down.")
    elif seen is None:
        out.print(f"No federation of {sandbox} is up.")
    else:
        _show(seen)
    if seen is None:
        raise typer.Exit(EXIT_NOT_UP)


@federation_app.command()
def revoke(context: typer.Context, hospital: HospitalId, sandbox: InSandbox = None) -> None:
    """Keep a hospital out, though its certificate is still valid, until it is reinstated.

    A federation that runs refuses its next log-in, and goes on without it; the runs to come make
    no certificate for it, and are degraded.
    """
    chosen: Settings = context.obj
    where = _where(chosen, sandbox)
    require_hospital(chosen, hospital)
    revocations.revoke(chosen.home.prepare().revocations, hospital, where)
    out.print(f"{hospital} is revoked in {_named(where)}: it is refused from now on.")


@federation_app.command()
def reinstate(context: typer.Context, hospital: HospitalId, sandbox: InSandbox = None) -> None:
    """Let a hospital that was revoked take part again, with new certificates.

    Ends with 1 where it was not revoked. One that withdrew joins again by `fed-assets forget`.
    """
    chosen: Settings = context.obj
    where, home = _where(chosen, sandbox), chosen.home.prepare()
    if entry := read_withdrawals(home.withdrawals).get(hospital):
        raise HospitalWithdrawn(
            f"{hospital} is not reinstated",
            seen=entry.reason,
            cure=f"`fed-assets forget {hospital} --undo --by NAME --because TEXT` lets it join "
            "again, where it wants to",
        )
    # Who is revoked in some sandboxes alone stays connected.
    turned_away = hospital in revocations.revoked_in(home.revocations, revocations.EVERYWHERE)
    if not revocations.reinstate(home.revocations, hospital, where):
        out.print(f"{hospital} is not revoked in {_named(where)}.")
        raise typer.Exit(EXIT_NOT_REVOKED)
    out.print(f"{hospital} is reinstated in {_named(where)}: the next run takes it in again.")
    if turned_away:
        say_start_again(chosen, hospital)


def _where(chosen: Settings, sandbox: str | None) -> str:
    return revocations.EVERYWHERE if sandbox is None else _find(chosen, sandbox).name


def _named(where: str) -> str:
    return "all sandboxes" if where == revocations.EVERYWHERE else where


def _find(chosen: Settings, name: str) -> Sandbox:
    return find_sandbox(name, configurable=chosen.configurable)


def _show(seen: dict[str, Any]) -> None:
    missing = f", not there any more: {', '.join(seen['missing'])}" if seen["missing"] else ""
    idle, cpu = seen["idle_seconds"], seen["idle_cpu_seconds"]
    rows = {
        "state": ("at work" if seen["busy"] else "waits for a run") + missing,
        "up since": seen["since"],
        "certificates until": seen["valid_until"],
        "hospitals": str(len(seen["hospitals"])),
        "jobs so far": str(seen["jobs"]),
        "processes": str(seen["processes"]),
        "memory": f"{seen['memory_bytes'] / 1e9:.2f} GB",
    }
    if not seen["busy"] and idle >= 1:
        rows["idle cost"] = f"{100 * cpu / idle:.1f} % of a core, over the last {idle:.0f} s"
    table = Table(title=f"The federation of {seen['sandbox']}", title_justify="left")
    table.add_column("what")
    table.add_column("seen", overflow="fold")
    for name, value in rows.items():
        table.add_row(name, value)
    out.print(table)
