"""`fed-assets azure`: a sandbox as code for Azure; statically checked, never deployed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from fed_assets.azure.check import require_sound
from fed_assets.azure.cloud_controls import becomes
from fed_assets.azure.deployment import Deployment
from fed_assets.azure.parties import BASE, REGION, Party, parties
from fed_assets.azure.permissions import matrix, rights
from fed_assets.azure.preflight import grouped, needs
from fed_assets.azure.template import sandbox_template
from fed_assets.azure.writing import parameters_file, written
from fed_assets.cli.names import SandboxName
from fed_assets.cli.saying import out, say
from fed_assets.errors import RunConfigError, StorageError, system_reason
from fed_assets.federation.roster import read_roster
from fed_assets.resources.settings import Settings
from fed_assets.sandboxes.presets import find_sandbox
from fed_assets.sandboxes.sandbox import Sandbox

azure_app = typer.Typer(no_args_is_help=True, help=__doc__)
Base = Annotated[
    str,
    typer.Option(help="What names in Azure begin with: 3 to 8 lower-case letters and digits."),
]
Region = Annotated[str, typer.Option(help="The region of everybody's resources.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print it as JSON alone.")]
NEVER = "Statically checked; never deployed."


@azure_app.command()
def template(
    context: typer.Context,
    sandbox: SandboxName,
    base: Base = "fedasset",
    region: Region = "westeurope",
    output: Annotated[str, typer.Option(help="A folder for the files; - prints it.")] = "-",
    evaluated: Annotated[
        bool, typer.Option(help="With every expression worked out, for a place that is made up.")
    ] = False,
) -> None:
    """Write a sandbox's ARM template for the roster, after it was checked."""
    found, made, deployment, _ = _made(context.obj, sandbox, base, region)
    content = written(deployment) if evaluated else made
    if output == "-":
        print(json.dumps(content, indent=2))
        return
    folder = Path(output)
    suffix = "evaluated" if evaluated else "template"
    path = _write(folder / f"{sandbox}.{suffix}.json", content)
    say(f"{path}: {len(deployment.resources)} resources. {NEVER}")
    if not evaluated:
        path = _write(folder / f"{sandbox}.parameters.json", parameters_file(made))
        say(f"{path}: put the consortium's own in, where it says so.")
    for control, value in found.controls().items():
        say(f"{control}={value}: {becomes(control, value)}")


@azure_app.command()
def permissions(
    context: typer.Context,
    sandbox: SandboxName,
    base: Base = "fedasset",
    region: Region = "westeurope",
    as_json: AsJson = False,
) -> None:
    """Show who may read, write and use what, by the roles that the template gives."""
    _, _, deployment, everyone = _made(context.obj, sandbox, base, region)
    cells = matrix(rights(deployment, everyone))
    if as_json:
        print(json.dumps({"sandbox": sandbox, "permissions": cells}, indent=1))
        return
    table = Table(title=f"Who may do what in {sandbox}", title_justify="left", show_lines=True)
    for heading in ("what", "who may do what with it"):
        table.add_column(heading, overflow="fold")
    for thing, row in cells.items():
        table.add_row(thing, "\n".join(f"{who}: {may}" for who, may in row.items() if may))
    out.print(table)
    say("Whoever owns a resource group, its deployer at first, can give any role in it.")
    say(NEVER)


@azure_app.command()
def preflight(
    context: typer.Context,
    sandbox: SandboxName,
    base: Base = "fedasset",
    region: Region = "westeurope",
    as_json: AsJson = False,
) -> None:
    """Say what a subscription needs before the template is deployed; asks nobody."""
    found, made, deployment, everyone = _made(context.obj, sandbox, base, region)
    wanted = needs(found, made, deployment, everyone)
    if as_json:
        record = {"sandbox": sandbox, "needs": [each.as_record() for each in wanted]}
        print(json.dumps(record, indent=1))
        return
    table = Table(title=f"What {sandbox} needs", title_justify="left")
    for heading in ("kind", "what, and where", "how to look, or what for"):
        table.add_column(heading, overflow="fold")
    for row in grouped(wanted):
        table.add_row(*row)
    out.print(table)
    say("Read off the template: nothing was asked of Azure.")


def _made(
    chosen: Settings, sandbox: str, base: str, region: str
) -> tuple[Sandbox, Mapping[str, Any], Deployment, tuple[Party, ...]]:
    """Returns the sandbox, its template, what that comes to, and the parties.

    Raises:
        RunConfigError: the base is none.
        AzureTemplateError: the template would not be deployed as it stands.
    """
    if not BASE.fullmatch(base):
        raise RunConfigError(
            "That is no beginning of names in Azure",
            where="`--base`",
            seen=base,
            cure="Take 3 to 8 lower-case letters and digits, the first a letter",
        )
    if not REGION.fullmatch(region):
        raise RunConfigError(
            "That is no region of Azure",
            where="`--region`",
            seen=region,
            cure="Write it as `az account list-locations` does, such as westeurope",
        )
    found = find_sandbox(sandbox, configurable=chosen.configurable)
    hospitals = read_roster(chosen.roster).hospital_ids
    made = sandbox_template(found, hospitals, base=base, region=region)
    return found, made, require_sound(made), parties(hospitals)


def _write(path: Path, content: Mapping[str, Any]) -> Path:
    """Writes a file into place by a rename.

    Raises:
        StorageError: it cannot be.
    """
    beside = path.with_suffix(".tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        beside.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
        beside.replace(path)
    except OSError as error:
        raise StorageError(
            "The template cannot be written",
            where=str(path.parent),
            seen=system_reason(error),
            cure="Name another folder by `--output`",
        ) from None
    return path
