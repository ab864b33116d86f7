"""`fed-assets federation up|down|status`: a sandbox's federation that stays up between runs."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from fed_assets.cli.names import SandboxName
from fed_assets.federation import warm
from fed_assets.federation.roster import read_roster
from fed_assets.resources.settings import Settings
from fed_assets.sandboxes.enforcement import require_enforced
from fed_assets.sandboxes.presets import find_sandbox
from fed_assets.sandboxes.sandbox import Sandbox

EXIT_NOT_UP = 1
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
    seen = warm.status(chosen.home.warm(sandbox))
    if as_json:
        print(json.dumps(seen, indent=1))
    elif seen is None:
        out.print(f"No federation of {sandbox} is up.")
    else:
        _show(seen)
    if seen is None:
        raise typer.Exit(EXIT_NOT_UP)


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
