"""`fed-assets`: run a sandbox, read its report, fetch data, look what is missing."""

from __future__ import annotations

import json
import os
import shlex
import signal
import sys
import webbrowser
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)
from rich.table import Table

from fed_assets.errors import FedAssetsError, RunConfigError
from fed_assets.federation.roster import Roster, read_roster
from fed_assets.resources.settings import Settings, settings_from
from fed_assets.sandboxes.enforcement import require_enforced, unenforced_controls
from fed_assets.sandboxes.presets import SANDBOX_NAMES, find_sandbox

EXIT_FAILED = 1
EXIT_DEGRADED = 3
EXIT_INTERRUPTED = 130

app = typer.Typer(no_args_is_help=True, add_completion=False, help=__doc__)
data_app = typer.Typer(no_args_is_help=True, help="Public data sets.")
app.add_typer(data_app, name="data")
out = Console()
errors = Console(stderr=True)

Job = Literal["federated_lifecycle", "retrain"]
SandboxName = Annotated[str, typer.Argument(help=f"One of {', '.join(SANDBOX_NAMES)}.")]


def settings() -> Settings:
    """Returns the settings of this process's environment."""
    return settings_from(os.environ, working_directory=Path.cwd())


@app.command()
def run(
    sandbox: SandboxName,
    job: Annotated[Job, typer.Option(help="What to run.")] = "federated_lifecycle",
    rounds: Annotated[int | None, typer.Option(min=1, help="Rounds.")] = None,
    local_epochs: Annotated[int | None, typer.Option(min=1, help="Epochs per round.")] = None,
    learning_rate: Annotated[float | None, typer.Option(help="Learning rate.")] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="Seed.")] = None,
    leave_out: Annotated[list[str] | None, typer.Option(help="A hospital to go without.")] = None,
) -> None:
    """Run the federation in a sandbox, with a progress bar per round."""
    from fed_assets.resources.dagster_run import execute, plan_launch, run_config

    chosen = settings()
    require_enforced(find_sandbox(sandbox, configurable=chosen.configurable))
    roster = read_roster(chosen.roster)
    home = chosen.home.prepare()
    training = {
        "rounds": rounds,
        "local_epochs": local_epochs,
        "learning_rate": learning_rate,
        "seed": seed,
    }
    config = run_config(job, training=training, leave_out=leave_out or [])
    launch = plan_launch(home, job=job, sandbox=sandbox, config=config)
    out.print(f"$ {shlex.join(launch.command)}", soft_wrap=True, markup=False, style="dim")
    steps, rounds_bar = TextColumn("{task.description}"), BarColumn()
    with Progress(
        SpinnerColumn(), steps, rounds_bar, TimeElapsedColumn(), console=out, transient=True
    ) as bar:
        task = bar.add_task(sandbox, total=rounds or roster.rounds)

        def show(progress: Any) -> None:
            if progress.round_number is None:
                bar.update(task, description=f"{sandbox}: {progress.step.replace('__', '/')}")
            else:
                text = f"{sandbox}: round {progress.round_number} of {rounds or roster.rounds}"
                bar.update(task, description=text, completed=progress.round_number)

        try:
            finished = execute(launch, home, on_progress=show)
        except KeyboardInterrupt:
            errors.print("Interrupted; everything that was started has been stopped.")
            raise typer.Exit(EXIT_INTERRUPTED) from None
    if not finished.succeeded:
        for failure in dict.fromkeys(finished.failures):
            errors.print(f"{sandbox}: {failure}", soft_wrap=True, markup=False, style="red")
        errors.print(f"The run failed; its log is {finished.log}", soft_wrap=True)
        raise typer.Exit(EXIT_FAILED)
    report = _read_report(chosen, sandbox)
    _show_report(report, roster)
    out.print(f"Report: {chosen.home.report(sandbox) / 'report.html'}", soft_wrap=True)
    if report["degraded"]:
        errors.print("[yellow]The run is degraded: a hospital was missing.[/] See the report.")
        raise typer.Exit(EXIT_DEGRADED)


@app.command()
def report(
    sandbox: SandboxName,
    as_json: Annotated[bool, typer.Option("--json", help="Print it instead.")] = False,
) -> None:
    """Open the last report of a sandbox."""
    chosen = settings()
    find_sandbox(sandbox, configurable=chosen.configurable)
    content = _read_report(chosen, sandbox)
    if as_json:
        print(json.dumps(content, indent=1))
        return
    page = chosen.home.report(sandbox) / "report.html"
    _show_report(content, read_roster(chosen.roster))
    out.print(f"Report: {page}", soft_wrap=True)
    webbrowser.open(page.as_uri())


def _read_report(chosen: Settings, sandbox: str) -> dict[str, Any]:
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


def _show_report(report: dict[str, Any], roster: Roster) -> None:
    from fed_assets.reporting.formats import interval

    synthetic = " · SYNTHETIC DATA" if report["data"]["synthetic"] else ""
    table = Table(
        title=f"{report['sandbox']}: {report['rounds']} rounds, {report['seconds']:.0f} s, "
        f"{len(report['participants'])} of {len(roster.hospitals)} hospitals{synthetic}",
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


@app.command()
def sandboxes(
    runnable: Annotated[bool, typer.Option(help="Only the names of those that can run.")] = False,
) -> None:
    """List the sandboxes, their controls, and what of them is enforced."""
    chosen = settings()
    known = [find_sandbox(name, configurable=chosen.configurable) for name in SANDBOX_NAMES]
    if runnable:
        for sandbox in known:
            if not unenforced_controls(sandbox):
                print(sandbox.name)
        return
    table = Table("control", *SANDBOX_NAMES)
    for control in known[0].controls():
        cells = []
        for sandbox in known:
            missing = control in unenforced_controls(sandbox)
            value = sandbox.value(control).replace("_", " ")
            cells.append(f"[red]{value} (refused)[/]" if missing else value)
        table.add_row(control, *cells)
    out.print(table)


@app.command()
def doctor() -> None:
    """Say what is missing on this machine, and how to mend it."""
    from fed_assets.resources.machine import examine

    findings = examine(settings())
    table = Table("what", "state")
    for heading in ("seen", "to mend it"):
        table.add_column(heading, overflow="fold")
    colours = {"ok": "green", "warning": "yellow", "missing": "red"}
    for finding in findings:
        state = f"[{colours[finding.state]}]{finding.state}[/]"
        table.add_row(finding.what, state, escape(finding.seen), escape(finding.cure))
    out.print(table)
    if any(finding.state == "missing" for finding in findings):
        raise typer.Exit(EXIT_FAILED)


@app.command()
def home() -> None:
    """Prepare the home folder and print where Dagster's instance lies in it."""
    print(settings().home.prepare().instance)


@data_app.command()
def fetch(
    name: Annotated[str, typer.Argument(help="A MedMNIST set, e.g. pneumoniamnist.")],
) -> None:
    """Find a public data set on this machine, or download the official file."""
    from fed_assets.resources.datasets import fetch_dataset

    chosen = settings()
    columns = (BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())
    with Progress(TextColumn(name), *columns, console=errors, transient=True) as bar:
        task = bar.add_task(name, total=None)
        path = fetch_dataset(
            name,
            data=chosen.data,
            cache=chosen.home.cache,
            progress=lambda have, expected: bar.update(task, completed=have, total=expected),
        )
    print(path)


def main() -> None:
    """Runs the command line; errors of ours end it in one line and exit code 1."""
    os.umask(0o077)
    for polite_end in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        # Like Ctrl-C, even where a shell had it ignored: what a run started must not outlive it.
        signal.signal(polite_end, signal.default_int_handler)
    try:
        app()
    except FedAssetsError as error:
        errors.print(f"Error: {error}", soft_wrap=True, markup=False, style="red")
        sys.exit(EXIT_FAILED)


if __name__ == "__main__":
    main()
