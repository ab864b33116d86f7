"""`fed-assets`: run a sandbox, read its report, fetch data, look what is missing."""

from __future__ import annotations

import os
import shlex
import signal
import sys
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from rich.console import Console
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

from fed_assets.cli.approvals import approve_code
from fed_assets.cli.azure import azure_app
from fed_assets.cli.budget import budget
from fed_assets.cli.compare import compare
from fed_assets.cli.exit_codes import DEGRADED, FAILED, INTERRUPTED
from fed_assets.cli.federation import federation_app
from fed_assets.cli.findings import show_findings
from fed_assets.cli.forget import forget
from fed_assets.cli.history import history, logs
from fed_assets.cli.hospital import examine_host, hospital_app
from fed_assets.cli.hosts import door, kit
from fed_assets.cli.keys import rotate_key
from fed_assets.cli.models import models_app
from fed_assets.cli.names import SandboxName
from fed_assets.cli.outbox import outbox
from fed_assets.cli.posture import posture
from fed_assets.cli.reports import read_report, report, say_deployment, show_report
from fed_assets.cli.serve import serve
from fed_assets.cli.storage import storage_app
from fed_assets.cli.trace import trace
from fed_assets.errors import FedAssetsError
from fed_assets.federation.agreed_rule import agreed_rule
from fed_assets.federation.roster import read_roster
from fed_assets.reporting import formats
from fed_assets.resources.settings import Settings, settings_from
from fed_assets.sandboxes.enforcement import (
    numbers_of,
    require_enforced,
    shown,
    unenforced_controls,
)
from fed_assets.sandboxes.presets import SANDBOX_NAMES, find_sandbox

app = typer.Typer(no_args_is_help=True, add_completion=False, help=__doc__)
data_app = typer.Typer(no_args_is_help=True, help="Public data sets.")
app.add_typer(data_app, name="data")
federation_app.command()(history)
federation_app.command()(kit)
federation_app.command()(door)
app.add_typer(federation_app, name="federation")
app.add_typer(models_app, name="models")
app.add_typer(azure_app, name="azure")
app.add_typer(hospital_app, name="hospital")
app.add_typer(storage_app, name="storage")
out = Console()
errors = Console(stderr=True)

Job = Literal["federated_lifecycle", "retrain", "deployment"]


def settings() -> Settings:
    """Returns the settings of this process's environment."""
    return settings_from(os.environ, working_directory=Path.cwd())


@app.callback()
def share_settings(context: typer.Context) -> None:
    """Hands the settings to the commands that stand in other modules."""
    context.obj = settings()


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
    from fed_assets.resources.run_logs import logs_hint

    chosen = settings()
    enforced = require_enforced(find_sandbox(sandbox, configurable=chosen.configurable))
    roster = read_roster(chosen.roster)
    agreed_rule(roster, enforced)  # refused before anything is written
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
            raise typer.Exit(INTERRUPTED) from None
    if not finished.succeeded:
        for failure in dict.fromkeys(finished.failures):
            errors.print(f"{sandbox}: {failure}", soft_wrap=True, markup=False, style="red")
        errors.print(f"The run failed; its log is {finished.log}", soft_wrap=True)
        if hint := logs_hint(home, sandbox, finished.run_id, finished.failures):
            errors.print(hint, soft_wrap=True, markup=False, highlight=False)
        raise typer.Exit(FAILED)
    told = read_report(chosen, sandbox)
    show_report(told, roster)
    out.print(f"Report: {chosen.home.report(sandbox) / 'report.html'}", soft_wrap=True)
    say_deployment(chosen, sandbox)
    if told["degraded"]:
        for shortfall in told["shortfalls"]:
            line = f"degraded: {shortfall['said']}"
            errors.print(line, soft_wrap=True, markup=False, highlight=False, style="yellow")
        raise typer.Exit(DEGRADED)


app.command()(report)
app.command()(logs)
app.command()(outbox)
app.command()(budget)
app.command()(posture)
app.command()(compare)
app.command()(serve)
app.command()(trace)
app.command()(forget)
app.command("rotate-key")(rotate_key)
app.command("approve-code")(approve_code)


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
            value = shown(sandbox, control).replace("_", " ")
            if control == "statistics" and sandbox.suppressed_below:
                value += f", below {sandbox.suppressed_below}"
            if numbers := numbers_of(sandbox, sandbox.rule).get(control):
                value += f", {formats.numbers(numbers)}"
            cells.append(f"[red]{value} (refused)[/]" if missing else value)
        table.add_row(control, *cells)
    out.print(table)


@app.command()
def doctor(
    hospital: Annotated[
        bool, typer.Option("--hospital", help="Try a hospital machine's way to the door instead.")
    ] = False,
    kit: Annotated[
        Path | None, typer.Option(help="A start-up kit, where the machine has not joined.")
    ] = None,
) -> None:
    """Say what is missing on this machine, and how to mend it."""
    from fed_assets.resources.machine import examine

    if hospital:
        if not examine_host(settings(), kit):
            raise typer.Exit(FAILED)
        return
    findings = examine(settings())
    show_findings((each.what, each.state, each.seen, each.cure) for each in findings)
    if any(finding.state == "missing" for finding in findings):
        raise typer.Exit(FAILED)


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
        sys.exit(FAILED)
