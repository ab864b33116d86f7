"""`fed-assets posture`: how far a sandbox protects, shown by attempts that must fail."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from fed_assets.cli.exit_codes import FAILED
from fed_assets.cli.names import SandboxName
from fed_assets.errors import JobFailed, RunConfigError, caused_by
from fed_assets.federation.roster import read_roster
from fed_assets.resources.home import Home
from fed_assets.resources.jobs import AUDIT
from fed_assets.resources.settings import Settings
from fed_assets.sandboxes.enforcement import require_enforced
from fed_assets.sandboxes.presets import find_sandbox

out = Console()
STYLES = {"passed": "green", "failed": "red", "inconclusive": "yellow"}


def posture(
    context: typer.Context,
    sandbox: SandboxName,
    last: Annotated[bool, typer.Option("--last", help="Show the last one; try nothing.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print it as JSON alone.")] = False,
) -> None:
    """Attack a sandbox, and say how far it protects.

    Ends with 1 where the sandbox does not protect as far as its controls promise.
    """
    chosen: Settings = context.obj
    found = find_sandbox(sandbox, configurable=chosen.configurable)
    if not last:
        require_enforced(found)
        read_roster(chosen.roster)
        _audit(chosen, sandbox)
    record = _read(chosen, sandbox)
    if as_json:
        print(json.dumps(record, indent=1))
    else:
        _show(record)
        out.print(f"Page: {chosen.home.posture(sandbox) / 'posture.html'}", soft_wrap=True)
    if not record["keeps_its_word"]:
        raise typer.Exit(FAILED)


def _audit(chosen: Settings, sandbox: str) -> None:
    """Makes all attempts, as a run of Dagster.

    Raises:
        JobFailed: The run ended without a result.
    """
    from fed_assets.resources.dagster_run import execute, plan_launch

    home = chosen.home.prepare()
    before = audited_at(home, sandbox)
    launch = plan_launch(home, job=AUDIT, sandbox=sandbox, config={})
    finished = execute(launch, home, on_progress=lambda _: None)
    if audited_at(home, sandbox) in (None, before):
        raise JobFailed(
            "The sandbox was not audited",
            where=str(finished.log),
            **caused_by(finished.failures, cure="Run `fed-assets posture` again"),
        )


def audited_at(home: Home, sandbox: str) -> int | None:
    """Returns when a sandbox's last audit was written, in nanoseconds; None where there is none.

    An audit that shows a broken word is a failed run, and is known by this to have come to a
    result.
    """
    try:
        return home.posture_record(sandbox).stat().st_mtime_ns
    except FileNotFoundError:
        return None


def _read(chosen: Settings, sandbox: str) -> dict[str, Any]:
    path = chosen.home.posture_record(sandbox)
    try:
        record: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise RunConfigError(
            f"The sandbox {sandbox} was not audited yet",
            where=str(path.parent),
            cure=f"Run `fed-assets posture {sandbox}`.",
        ) from None
    return record


def _has_figures(probe: dict[str, Any]) -> bool:
    """Says whether something was measured, and not counted alone."""
    return any(isinstance(each, float) for each in probe["attempt"].values())


def _show(record: dict[str, Any]) -> None:
    from fed_assets.reporting.posture_page import counted, rung

    table = Table(title=f"Attempts on {record['sandbox']}", title_justify="left")
    for heading in ("ladder", "level", "attempt", "outcome"):
        table.add_column(heading)
    for probe in record["probes"]:
        outcome = f"[{STYLES[probe['outcome']]}]{probe['outcome']}[/]"
        table.add_row(probe["ladder"], rung(probe["rung"]), probe["probe"], outcome)
    out.print(table)
    for probe in filter(_has_figures, record["probes"]):
        figures = f"{counted(probe['attempt'])}; the control: {counted(probe['control'])}"
        out.print(f"{probe['probe']}: {figures}", soft_wrap=True, highlight=False)
    for ladder, standing in record["ladders"].items():
        promised = record["promised"][ladder]
        out.print(
            f"{ladder}: {standing['level']} of 4 ({promised} promised): {standing['means']}",
            soft_wrap=True,
            highlight=False,
        )
        if why := standing["why"]:
            out.print(f"  not higher: {why}", soft_wrap=True, highlight=False, style="dim")
    for shortfall in record["shortfalls"]:
        out.print(f"Not kept: {shortfall}", soft_wrap=True, style="red", highlight=False)
    if record["simulated"]:
        out.print("SIMULATED: its trusted execution environment is a simulation.", style="yellow")
