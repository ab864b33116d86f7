"""`fed-assets compare`: what is missing is run, and the sandboxes are compared by it."""

from __future__ import annotations

import json
import webbrowser
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

from fed_assets.errors import JobFailed, RunConfigError
from fed_assets.federation.roster import Roster, read_roster
from fed_assets.resources.home import Home
from fed_assets.resources.settings import Settings
from fed_assets.resources.templates import AUDIT_JOB, COMPARISON_JOB
from fed_assets.sandboxes.enforcement import unenforced_controls
from fed_assets.sandboxes.presets import SANDBOX_NAMES, find_sandbox

Language = Literal["en", "es"]
EXIT_INCOMPLETE = 3
LIFECYCLE, REFERENCES = "federated_lifecycle", "references"
# How long a job takes beside the others, for the time that is left: five sandboxes of ten hospitals
# were measured so, within a factor of two.
WEIGHTS = {LIFECYCLE: 4, AUDIT_JOB: 1, REFERENCES: 4, COMPARISON_JOB: 1}
out = Console()
errors = Console(stderr=True)


@dataclass(frozen=True)
class Step:
    """A job that a comparison needs.

    Attributes:
        job: Its name.
        sandbox: Its partition; None for a job without.
        seed: Of the training; None where there is none.
    """

    job: str
    sandbox: str | None = None
    seed: int | None = None

    def __str__(self) -> str:
        of = "" if self.sandbox is None else f" of {self.sandbox}"
        seed = "" if self.seed is None else f", seed {self.seed}"
        return f"{self.job}{of}{seed}"

    def config(self, seeds: Sequence[int], weighing: dict[str, Any]) -> dict[str, Any]:
        """Returns its run config: all the seeds for the references, how to weigh at the end."""
        match self.job:
            case "federated_lifecycle":
                return {"ops": {"federated_training": {"config": {"seed": self.seed}}}}
            case "references":
                return {"ops": {"reference_models": {"config": {"seeds": list(seeds)}}}}
            case "comparison":
                return {"ops": {"sandbox_comparison": {"config": weighing}}}
        return {}


def compare(
    context: typer.Context,
    seeds: Annotated[int, typer.Option(min=1, help="How many seeds to train with.")] = 1,
    again: Annotated[bool, typer.Option("--again", help="Measure everything anew.")] = False,
    stored: Annotated[bool, typer.Option("--stored", help="Run nothing that is missing.")] = False,
    profiles: Annotated[Path | None, typer.Option(help="A YAML file of weight profiles.")] = None,
    allow_unaudited: Annotated[
        bool, typer.Option(help="Let a sandbox win of which no audit was made.")
    ] = False,
    lang: Annotated[Language, typer.Option(help="The page's language.")] = "en",
    as_json: Annotated[bool, typer.Option("--json", help="Print comparison.json alone.")] = False,
) -> None:
    """Compare the five sandboxes: run what is missing, rank them, and say how sure that is.

    Ends with 3 where a sandbox could not be measured; it stands as missing then.
    """
    chosen: Settings = context.obj
    roster, home = read_roster(chosen.roster), chosen.home.prepare()
    trained = wanted_seeds(roster, seeds)
    weighing: dict[str, Any] = {"allow_unaudited": allow_unaudited, "language": lang}
    if profiles is not None:
        weighing["profiles"] = str(profiles.resolve())
    runnable = [
        name
        for name in SANDBOX_NAMES
        if not unenforced_controls(find_sandbox(name, configurable=chosen.configurable))
    ]
    steps = [] if stored else missing_steps(home, runnable, trained, again=again)
    comparing = Step(COMPARISON_JOB)
    failed = _run([*steps, comparing], trained, weighing, home)
    if str(comparing) in failed:
        raise JobFailed("The sandboxes were not compared", seen=failed[str(comparing)][:300])
    record = json.loads((home.comparison / "comparison.json").read_text(encoding="utf-8"))
    if as_json:
        print(json.dumps(record, indent=1))
    else:
        _show(record, lang)
        page = home.comparison / "comparison.html"
        out.print(f"Page: {page}", soft_wrap=True)
        webbrowser.open(page.as_uri())
    for step, why in failed.items():
        errors.print(f"{step}: {why}", soft_wrap=True, markup=False, style="red")
    if failed or any(row["standing"] == "not_measured" for row in record["sandboxes"]):
        raise typer.Exit(EXIT_INCOMPLETE)


def wanted_seeds(roster: Roster, count: int) -> list[int]:
    """Returns the seeds to train with: the roster's, and then the least others.

    Raises:
        RunConfigError: there are not so many.
    """
    if count > 100:
        raise RunConfigError("So many seeds cannot be trained with", seen=str(count))
    others = (seed for seed in range(count + len(roster.seeds)) if seed not in roster.seeds)
    return [*roster.seeds, *others][:count]


def missing_steps(
    home: Home, sandboxes: Sequence[str], seeds: Sequence[int], *, again: bool
) -> list[Step]:
    """Returns the jobs whose results a comparison lacks, an audit of each sandbox first.

    An audit takes a minute and decides whether a sandbox can win at all.
    """
    steps = [
        Step(AUDIT_JOB, sandbox)
        for sandbox in sandboxes
        if again or not (home.posture(sandbox) / "posture.json").exists()
    ]
    steps += [
        Step(LIFECYCLE, sandbox, seed)
        for seed in seeds
        for sandbox in sandboxes
        if again or not home.measurement(sandbox, seed).exists()
    ]
    if again or not set(map(str, seeds)) <= _referenced(home):
        steps.append(Step(REFERENCES))
    return steps


def _referenced(home: Home) -> set[str]:
    try:
        value = json.loads((home.artifacts / "reference_models.json").read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return set()
    return set(value["seeds"])


def _run(
    steps: Sequence[Step], seeds: Sequence[int], weighing: dict[str, Any], home: Home
) -> dict[str, str]:
    """Runs jobs one after another; returns why some failed, while the others go on."""
    from fed_assets.resources.dagster_run import execute, plan_launch

    failed = {}
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(
        *columns, TextColumn("left:"), TimeRemainingColumn(), console=errors, transient=True
    ) as bar:
        task = bar.add_task("", total=sum(WEIGHTS[step.job] for step in steps))
        for step in steps:
            bar.update(task, description=str(step))
            config = step.config(seeds, weighing)
            launch = plan_launch(home, job=step.job, sandbox=step.sandbox, config=config)
            finished = execute(launch, home, on_progress=lambda _: None)
            # An audit that shows a broken word has a result all the same.
            kept = step.job == AUDIT_JOB and (home.posture(str(step.sandbox))).exists()
            if not finished.succeeded and not kept:
                failed[str(step)] = "; ".join(dict.fromkeys(finished.failures)) or str(finished.log)
            bar.advance(task, WEIGHTS[step.job])
    return failed


def _show(record: dict[str, Any], language: str) -> None:
    table = Table(title="The sandboxes", title_justify="left")
    for heading in ("sandbox", "standing", *record["profiles"]):
        table.add_column(heading.replace("_", " "), overflow="fold")
    for row in record["sandboxes"]:
        name = row["sandbox"]
        firsts = [
            f"{first:.0%}" if (first := profile["first"].get(name)) is not None else ""
            for profile in record["profiles"].values()
        ]
        table.add_row(name, row["standing"].replace("_", " "), *firsts)
    out.print(table)
    out.print("How often each is first, over drawn weights, measurements and methods.", style="dim")
    for name, profile in record["profiles"].items():
        out.print(f"{name.replace('_', ' ')}: {profile['sentence'][language]}", highlight=False)
