"""`fed-assets federation` and `fed-assets logs`: what was asked of NVFlare, and what came of it."""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import datetime
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from fed_assets.cli.names import SandboxName
from fed_assets.resources.settings import Settings
from fed_assets.sandboxes.presets import find_sandbox

out = Console()


def history(
    context: typer.Context,
    sandbox: SandboxName,
    as_json: Annotated[bool, typer.Option("--json", help="Print it as JSON.")] = False,
) -> None:
    """List the NVFlare commands that each run of a sandbox issued, the newest run first."""
    from fed_assets.federation.history import HISTORY_FILE, read_history

    chosen: Settings = context.obj
    find_sandbox(sandbox, configurable=chosen.configurable)
    runs = {
        folder.name: read_history(folder / HISTORY_FILE)
        for folder in chosen.home.federations(sandbox)
    }
    if as_json:
        listed = [
            {"run": run, "commands": [asdict(command) for command in commands]}
            for run, commands in runs.items()
        ]
        print(json.dumps(listed, indent=1))
        return
    if not runs:
        out.print(f"No run of {sandbox} has trained yet.")
        return
    table = Table("run", "time", "command", title=f"NVFlare in {sandbox}", title_justify="left")
    table.add_column("seconds", justify="right")
    table.add_column("answer", overflow="fold")
    for run, commands in runs.items():
        for command in commands:
            local = datetime.fromisoformat(command.at).astimezone()
            often = f" (x{command.times})" if command.times > 1 else ""
            name, answer = escape(command.command + often), escape(command.answer)
            time = f"{local:%Y-%m-%d %H:%M:%S}"
            table.add_row(run, time, name, f"{command.seconds:.2f}", answer)
        table.add_section()
    out.print(table)


def logs(
    context: typer.Context,
    run: Annotated[str, typer.Argument(help="Its id, or a sandbox for its newest run.")],
    hospital: Annotated[str, typer.Argument(help="The hospital's id, or `server`.")],
    lines: Annotated[int, typer.Option(min=1, help="How many of each log.")] = 20,
) -> None:
    """Show the last lines of a hospital's logs in a run."""
    from fed_assets.resources.run_logs import find_logs, last_lines

    chosen: Settings = context.obj
    for log in find_logs(chosen.home, run, hospital):
        last = last_lines(log, lines)
        state = " (not there)" if last is None else "" if last else " (empty)"
        out.print(f"{log}{state}", style="bold", markup=False, highlight=False, soft_wrap=True)
        for line in last or []:
            out.print(line, markup=False, highlight=False, soft_wrap=True)
