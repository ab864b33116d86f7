"""`fed-assets report`: what the last federation of a sandbox came to."""

from __future__ import annotations

import json
import webbrowser
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from fed_assets.cli.names import SandboxName
from fed_assets.cli.saying import say
from fed_assets.errors import RunConfigError
from fed_assets.federation.roster import Roster, read_roster
from fed_assets.resources.settings import Settings
from fed_assets.sandboxes.presets import find_sandbox

out = Console()


def report(
    context: typer.Context,
    sandbox: SandboxName,
    as_json: Annotated[bool, typer.Option("--json", help="Print it instead.")] = False,
    as_markdown: Annotated[
        bool, typer.Option("--markdown", help="Print its tables as Markdown instead.")
    ] = False,
) -> None:
    """Open the last report of a sandbox."""
    chosen: Settings = context.obj
    find_sandbox(sandbox, configurable=chosen.configurable)
    content = read_report(chosen, sandbox)
    if as_json:
        print(json.dumps(content, indent=1))
        return
    if as_markdown:
        from fed_assets.reporting.markdown import report_markdown

        print(report_markdown(content))
        return
    page = chosen.home.report(sandbox) / "report.html"
    show_report(content, read_roster(chosen.roster))
    out.print(f"Report: {page}", soft_wrap=True)
    webbrowser.open(page.as_uri())


def read_report(chosen: Settings, sandbox: str) -> dict[str, Any]:
    """Returns a sandbox's last report.

    Raises:
        RunConfigError: There is none yet.
    """
    path = chosen.home.report(sandbox) / "report.json"
    try:
        content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise RunConfigError(
            f"There is no report of the sandbox {sandbox} yet",
            where=str(path.parent),
            cure=f"Run `fed-assets run {sandbox}`.",
        ) from None
    return content


def say_deployment(chosen: Settings, sandbox: str) -> None:
    """Prints which version the last run registered, and whether it serves, or why it does not.

    Raises:
        StorageError: What is known of it is damaged.
    """
    from fed_assets.resources.artifact_store import read_value

    cure = f"Run `fed-assets run {sandbox} --job deployment`"
    told = read_value(chosen.home, f"deployed_model/{sandbox}", cure=cure)
    if told is None:
        return
    line = f"Version {told['version']} is registered"
    if told["deployed"]:
        line += f", and serves: `fed-assets serve {sandbox}`."
    else:
        line += f", and does not serve: {'; '.join(told['not_deployed'])}."
    say(line)


def show_report(report: dict[str, Any], roster: Roster) -> None:
    """Prints a report's metrics, a row per place of testing, and what the federation gains."""
    from fed_assets.reporting.formats import interval
    from fed_assets.reporting.gains import gain_lines

    missed = {each["hospital"] for each in report["shortfalls"]}
    present = len(set(report["participants"]) - missed)
    synthetic = " · SYNTHETIC DATA" if report["data"]["synthetic"] else ""
    table = Table(
        title=f"{report['sandbox']}: {report['rounds']} rounds, {report['seconds']:.0f} s, "
        f"{present} of {len(roster.hospitals)} hospitals in every round{synthetic}",
        title_justify="left",
    )
    for heading in ("tested on", "images", "AUROC (95 % interval)", "accuracy", "F1"):
        table.add_column(heading)
    common = {"common test set": report["test"]} if report["test"]["images"] else {}
    rows = {**common, **report["hospitals"]}
    for name, entry in rows.items():
        figures = [interval(entry[metric]) for metric in ("auroc", "accuracy", "f1")]
        table.add_row(name, str(entry["images"]), *figures)
    out.print(table)
    if spent := _spent(report):
        say(spent)
    if "references" not in report:
        return  # it was made by an earlier version
    gains = gain_lines(report)
    for line in gains if report["references"]["why_not"] is None else gains[:1]:
        say(line, style="dim")


def _spent(report: dict[str, Any]) -> str:
    """Returns the most that a hospital has spent of its privacy budget, where there is one."""
    allowed = report.get("numbers", {}).get("update_protection", {}).get("epsilon")
    if allowed is None:
        return ""
    spent = {name: each["epsilon"] for name, each in report["sent"].items() if each["epsilon"]}
    if not spent:
        return f"Privacy: nothing of epsilon {allowed:g} is spent"
    most = max(spent, key=lambda name: spent[name])
    return (
        f"Privacy: epsilon {spent[most]:.2f} of {allowed:g} is spent at {most}, the most of "
        f"{len(spent)} hospitals; delta {report['sent'][most]['delta']:g}"
    )
