"""`fed-assets budget`: what a hospital has spent of its images' privacy budget, round by round."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from fed_assets.cli.asking import ask_keeper
from fed_assets.cli.names import SandboxName, require_hospital
from fed_assets.errors import RunConfigError
from fed_assets.resources.settings import Settings
from fed_assets.sandboxes.controls import UpdateProtection
from fed_assets.sandboxes.presets import find_sandbox

DIGITS = 8
out = Console()


def budget(
    context: typer.Context,
    hospital: Annotated[str, typer.Argument(help="The hospital's id.")],
    sandbox: SandboxName,
    as_json: Annotated[bool, typer.Option("--json", help="Print it as JSON.")] = False,
) -> None:
    """Show what a hospital has spent of its privacy budget in a sandbox, and what is left."""
    chosen: Settings = context.obj
    found = find_sandbox(sandbox, configurable=chosen.configurable)
    require_hospital(chosen, hospital)
    if found.update_protection is not UpdateProtection.DIFFERENTIAL_PRIVACY:
        raise RunConfigError(
            f"{hospital} has no privacy budget in {sandbox}",
            where="control `update_protection`",
            seen=str(found.update_protection),
            cure="Name a sandbox of `update_protection: differential_privacy`",
        )
    spent = ask_keeper(chosen, found, hospital, "show_budget", {"delta": found.protection.delta})
    allowed = found.protection.epsilon
    if as_json:
        told = {name: spent[name] for name in ("epsilon", "delta", "rounds")}
        print(json.dumps({"hospital": hospital, "sandbox": sandbox, "budget": allowed, **told}))
        return
    out.print(_table(f"The privacy ledger of {hospital} in {sandbox}", spent["rounds"]))
    said = f"Epsilon {spent['epsilon']:.2f} of {allowed:g} is spent, at delta {spent['delta']:g}."
    out.print(said, highlight=False)


def _table(title: str, rounds: list[dict[str, Any]]) -> Table:
    table = Table(title=title, title_justify="left")
    for heading in ("time", "run", "images"):
        table.add_column(heading, no_wrap=heading == "time", overflow="fold")
    for heading in ("round", "steps", "sample rate", "noise multiplier", "epsilon so far"):
        table.add_column(heading, justify="right", overflow="fold")
    for each in rounds:
        local = datetime.fromisoformat(each["at"]).astimezone()
        table.add_row(
            f"{local:%Y-%m-%d %H:%M:%S}",
            escape(each["run"][:DIGITS]),
            each["dataset"][:DIGITS],
            str(each["round_number"]),
            str(each["steps"]),
            f"{each['sample_rate']:.4f}",
            f"{each['noise_multiplier']:.3f}",
            f"{each['epsilon']:.3f}",
        )
    return table
