"""`fed-assets models`: which versions a sandbox has, which serves, and who lets which serve."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from fed_assets.cli.model_rows import (
    difference_rows,
    events_of,
    gates_of,
    made_of,
    version_row,
)
from fed_assets.cli.names import SandboxName
from fed_assets.cli.saying import say, user
from fed_assets.errors import RunConfigError
from fed_assets.registry.gate import WAIVABLE
from fed_assets.resources.model_registry import ModelRegistry
from fed_assets.resources.settings import Settings
from fed_assets.sandboxes.presets import SANDBOX_NAMES, find_sandbox

models_app = typer.Typer(
    no_args_is_help=True, help="The registered models, and which of them serves."
)
out = Console()
errors = Console(stderr=True)
TORN = (
    "The last line of the promotion log was cut off as it was written, and is left out; "
    "the next change removes it."
)
Version = Annotated[int, typer.Argument(min=1, help="The version's number.")]
WIDEST = len("better_than_chance")  # the longest name of a gate, which shall not be broken
AsJson = Annotated[bool, typer.Option("--json", help="Print it as JSON.")]


def registry_of(context: typer.Context, sandbox: str) -> ModelRegistry:
    """Returns the registry, of a sandbox that there is.

    Raises:
        SandboxError: There is none of that name.
    """
    chosen: Settings = context.obj
    find_sandbox(sandbox, configurable=chosen.configurable)
    return ModelRegistry(chosen.home)


@models_app.command("list")
def list_versions(
    context: typer.Context,
    sandbox: Annotated[
        str | None, typer.Argument(help=f"One of {', '.join(SANDBOX_NAMES)}; all, if none.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """List a sandbox's versions, the newest first, with what they are worth and what bars them.

    Without a sandbox, those of all.
    """
    rows = []
    for name in SANDBOX_NAMES if sandbox is None else [sandbox]:
        registry = registry_of(context, name)
        rows += [version_row(registry, name, each) for each in reversed(registry.versions(name))]
        if registry.history(name).torn:
            errors.print(f"{name}: {TORN}", soft_wrap=True, style="yellow")
    if as_json:
        print(json.dumps(rows, indent=1))
        return
    if not rows:
        out.print(f"No model of {sandbox or 'any sandbox'} is registered yet.")
        return
    table = Table(title="Registered models", title_justify="left")
    # Beside the sandbox's name there is no room in eighty columns for when it was reported.
    for heading in ("version", "is", "reported") if sandbox else ("sandbox", "no.", "is"):
        table.add_column(heading, overflow="fold")
    for heading in ("AUROC", "hospitals"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("what bars it", overflow="fold", min_width=WIDEST)
    for row in rows:
        version, standing, reported, *others = _cells(row)
        first = (version, standing, reported) if sandbox else (row["sandbox"], version, standing)
        table.add_row(*map(escape, (*first, *others)))
    out.print(table)
    if any(row.get("synthetic") for row in rows):
        out.print("SYNTHETIC DATA: at least one of them learned from made-up images.")


def _cells(row: Mapping[str, Any]) -> list[str]:
    if not row["whole"]:
        return [str(row["version"]), ", ".join(row["standing"]), "", "", "", "no record"]
    bars = ["not judged"] if row["closed"] is None else list(row["closed"])
    if "champion" not in row["standing"]:  # which serves already
        bars += [f"not judged: {name}" for name in row["unjudged"] or ()]
    bars += [] if row["packaged"] else ["no package"]
    bars += ["its records"] if row["untrue"] else []
    return [
        str(row["version"]),
        ", ".join(row["standing"]),
        row["created"][:10],
        "" if row["auroc"] is None else f"{row['auroc']:.3f}",
        f"{row['participants']}/{row['roster']}",
        row["retired"] or "\n".join(bars),
    ]


@models_app.command()
def show(
    context: typer.Context, sandbox: SandboxName, version: Version, as_json: AsJson = False
) -> None:
    """Show what made a version, what the gates came to, and what became of it."""
    registry = registry_of(context, sandbox)
    record, history = registry.version(sandbox, version), registry.history(sandbox)
    gates, events = gates_of(history, version), events_of(history, version)
    row = version_row(registry, sandbox, version)
    if as_json:
        told = {
            **record.as_record(),
            "standing": row["standing"],
            "untrue": row["untrue"],
            "gates": gates,
            "unjudged": row["unjudged"],
            "history": events,
        }
        print(json.dumps(told, indent=1))
        return
    standing = ", ".join(row["standing"])
    say(f"Version {version} of {sandbox}{f': {standing}' if standing else ''}")
    if row["untrue"]:
        say(f"It may not serve: {row['untrue']}", "red", to=errors)
    for name, value in made_of(record).items():
        say(f"  {name}: {value}")
    table = Table("gate", "passed", title="Gates", title_justify="left")
    table.add_column("why", overflow="fold")
    for gate in gates:
        passed = "[green]yes[/]" if gate["passed"] else "[red]no[/]"
        table.add_row(gate["name"], passed, escape(gate["said"]))
    for name in row["unjudged"] or ():
        table.add_row(name, "[yellow]not judged[/]", "the gate came after its last judgement")
    if table.row_count:
        out.print(table)
    for event in events:
        why = f": {event['why']}" if event["why"] else ""
        what = event["event"].replace("_", " ")
        what = f"gate {event['opened']} {what}" if "opened" in event else what
        say(f"{event['at']}  {what} by {event['by']}{why}")
    if history.torn:
        say(TORN)


@models_app.command()
def promote(
    context: typer.Context,
    sandbox: SandboxName,
    version: Version,
    waive: Annotated[
        list[str] | None,
        typer.Option(
            help=f"A gate that a named person opens: {', '.join(WAIVABLE)}; the last two only "
            "where somebody tells nothing or did not test."
        ),
    ] = None,
    by: Annotated[str | None, typer.Option(help="Who decides so; you, if nobody is named.")] = None,
    because: Annotated[str | None, typer.Option(help="What for.")] = None,
) -> None:
    """Have a version serve, if it passed every gate or a named person opens the closed ones."""
    if waive and not (by and because):
        raise RunConfigError(
            "A gate is opened by a named person, for a reason",
            seen=f"--waive {waive[0]}",
            cure="Add `--by NAME --because TEXT`",
        )
    registry = registry_of(context, sandbox)
    before = registry.champion(sandbox)
    registry.promote(
        sandbox, version, by or user(), because or "by hand", waived=tuple(waive or ())
    )
    if before == version:
        say(f"Version {version} of {sandbox} serves already.")
        return
    instead = "where none did before" if before is None else f"in the place of version {before}"
    say(f"Version {version} of {sandbox} serves now, {instead}.")


@models_app.command()
def rollback(
    context: typer.Context,
    sandbox: SandboxName,
    by: Annotated[str, typer.Option(help="Who decides so.")],
    because: Annotated[str, typer.Option(help="What for.")],
) -> None:
    """Have the former champion serve again."""
    registry = registry_of(context, sandbox)
    _, passed = registry.former(sandbox)
    left, serves = registry.rollback(sandbox, by, because)
    for version, why in passed.items():
        say(f"Version {version} is passed over: {why}")
    say(f"Version {serves} of {sandbox} serves again, and version {left} no longer.")


@models_app.command()
def diff(
    context: typer.Context,
    sandbox: SandboxName,
    one: Version,
    other: Annotated[int, typer.Argument(min=1, help="The version held against it.")],
    as_json: AsJson = False,
) -> None:
    """Show two versions side by side: figures, recipe, data, and who took part.

    The difference of a figure is what the second version has over the first.
    """
    registry = registry_of(context, sandbox)
    rows = difference_rows(registry.version(sandbox, one), registry.version(sandbox, other))
    if as_json:
        print(json.dumps(rows, indent=1))
        return
    table = Table("what", title=f"Versions of {sandbox}", title_justify="left")
    for heading in (f"version {one}", f"version {other}", f"{other} minus {one}"):
        table.add_column(heading, overflow="fold")
    for row in rows:
        table.add_row(*(escape(shown(each)) for each in row.values()))
    out.print(table)


def shown(value: Any) -> str:
    """Returns a cell: few digits, and nothing where nothing is known."""
    if value is None:
        return ""
    return f"{value:.4g}" if isinstance(value, float) else str(value)
