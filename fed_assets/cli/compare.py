"""`fed-assets compare`: what is missing is run, and the sandboxes are compared by it."""

from __future__ import annotations

import json
import webbrowser
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from rich.console import Console
from rich.table import Table

from fed_assets.cli.comparison_approvals import approved
from fed_assets.cli.comparison_budgets import affordable
from fed_assets.cli.comparison_rosters import fitting
from fed_assets.cli.comparison_steps import (
    comparing,
    in_lanes,
    left_out,
    missing_steps,
    wanted_seeds,
)
from fed_assets.cli.exit_codes import DEGRADED, INTERRUPTED
from fed_assets.cli.posture import audited_at
from fed_assets.cli.step import Step
from fed_assets.cli.stored_results import require_comparable, require_made_anew, stored_results
from fed_assets.cli.time_left import JobsBar, Pace, pace_of
from fed_assets.comparison.surroundings import BUDGET_SPENT, NOT_APPROVED, ROSTER_UNFIT
from fed_assets.errors import JobFailed, RunConfigError, caused_by
from fed_assets.federation.roster import read_roster
from fed_assets.reporting import formats
from fed_assets.resources.asked_data import asked_data
from fed_assets.resources.home import Home
from fed_assets.resources.jobs import AUDIT, COMPARISON
from fed_assets.resources.prices import read_prices
from fed_assets.resources.settings import Settings
from fed_assets.sandboxes.enforcement import unenforced_controls
from fed_assets.sandboxes.presets import SANDBOX_NAMES, find_sandbox

if TYPE_CHECKING:
    from fed_assets.reporting.comparison_words import Words

Language = Literal["en", "es"]
COMPARE = Step(COMPARISON)
STOPPING = "Stopping what runs; this takes up to half a minute."
PROFILES_ABREAST = 4  # as many as 80 columns hold with whole words
out = Console()
errors = Console(stderr=True)


def compare(
    context: typer.Context,
    seeds: Annotated[int, typer.Option(min=1, help="How many seeds to train with.")] = 1,
    again: Annotated[bool, typer.Option("--again", help="Measure everything anew.")] = False,
    stored: Annotated[bool, typer.Option("--stored", help="Run nothing that is missing.")] = False,
    profiles: Annotated[Path | None, typer.Option(help="A YAML file of weight profiles.")] = None,
    allow_unaudited: Annotated[
        bool, typer.Option(help="Let a sandbox win of which no audit was made.")
    ] = False,
    within_budget: Annotated[
        bool, typer.Option(help="Go on without runs that privacy budgets do not allow.")
    ] = False,
    approved_only: Annotated[
        bool, typer.Option(help="Go on without runs whose code hospitals have not approved.")
    ] = False,
    lang: Annotated[Language, typer.Option(help="The page's language.")] = "en",
    as_json: Annotated[bool, typer.Option("--json", help="Print comparison.json alone.")] = False,
) -> None:
    """Compare the five sandboxes: run what is missing, rank them, and say how sure that is.

    Ends with 3 where a sandbox could not be measured; it stands as missing then. After Ctrl-C, what
    was measured is kept. A private run spends what is left of hospitals' budgets, so that a sandbox
    of differential privacy is measured once. Budgets, and approvals of code, are asked for before
    anything runs, and a sandbox that the roster does not fit is left out.
    """
    chosen: Settings = context.obj
    if stored and again:
        raise RunConfigError(
            "What is to be measured anew cannot be taken as it is stored",
            seen="--stored --again",
            cure="Give one of the two",
        )
    roster, home = read_roster(chosen.roster), chosen.home.prepare()
    # What cannot be used is to be known before hours of runs.
    read_prices(chosen.prices)
    trained = wanted_seeds(roster, seeds)
    weighing: dict[str, Any] = {
        "allow_unaudited": allow_unaudited,
        "language": lang,
        "leave_out_other_data": not stored,
    }
    if profiles is not None:
        from fed_assets.comparison.profiles import read_profiles

        read_profiles(profiles.resolve())  # before hours of runs, too
        weighing["profiles"] = str(profiles.resolve())
    defined = [find_sandbox(name, configurable=chosen.configurable) for name in SANDBOX_NAMES]
    runnable = [sandbox for sandbox in defined if not unenforced_controls(sandbox)]
    try:
        data = asked_data(roster, data=chosen.data, cache=home.cache)
        known = stored_results(home, roster, runnable, data)
        steps: list[Step] = []
        if stored:
            require_comparable(known, home)
        else:
            wanted = missing_steps(known, roster, runnable, trained, again=again, data=data)
            # Why a run is asked for at all is said of one that nobody allows, too.
            _say_why([*wanted, comparing(known)], lang)
            fit = fitting(wanted, runnable, roster)
            allowed = approved(fit, runnable, roster, chosen, go_on=approved_only)
            steps = affordable(allowed, runnable, roster, chosen, go_on=within_budget)
            require_made_anew(known, [*steps, COMPARE])
            weighing["left_out"] = [
                *left_out(wanted, fit, ROSTER_UNFIT),
                *left_out(fit, allowed, NOT_APPROVED),
                *left_out(allowed, steps, BUDGET_SPENT),
            ]
        pace = pace_of(in_lanes([*steps, COMPARE]), home, known, roster, seeds=len(trained))
        failed = _run([*steps, COMPARE], trained, weighing, home, pace)
    except KeyboardInterrupt:
        same = "the same command without --again" if again else "the same command"
        errors.print(
            f"Interrupted; what was measured is kept, and {same} goes on with the rest.",
            soft_wrap=True,
        )
        raise typer.Exit(INTERRUPTED) from None
    if COMPARE in failed:
        raise JobFailed(
            "The sandboxes were not compared",
            **caused_by(
                failed[COMPARE],
                cure="Run `fed-assets compare` again: it goes on with what was measured",
            ),
        )
    record = json.loads((home.comparison / "comparison.json").read_text(encoding="utf-8"))
    if as_json:
        print(json.dumps(record, indent=1))
    else:
        show_comparison(record, lang)
        page = home.comparison / "comparison.html"
        out.print(f"{_words(lang).page['page_at']}: {page}", soft_wrap=True)
        webbrowser.open(page.as_uri())
    if failed or any(row["standing"] == "not_measured" for row in record["sandboxes"]):
        raise typer.Exit(DEGRADED)


def _say_why(steps: Sequence[Step], language: str) -> None:
    for step in steps:
        for caution in step.again:
            told = f"{step}: {_words(language).caution(caution)}"
            errors.print(told, soft_wrap=True, markup=False)


def _run(
    steps: Sequence[Step],
    seeds: Sequence[int],
    weighing: dict[str, Any],
    home: Home,
    pace: Pace,
) -> dict[Step, list[str]]:
    """Runs jobs in their order; says at once and returns why some failed, while others go on."""
    if not errors.is_terminal:  # where no bar shows, the jobs are told, and then each is a line
        jobs = "1 job" if len(steps) == 1 else f"{len(steps)} jobs"
        errors.print(f"To run: {jobs} (left: {pace.told()})", soft_wrap=True, highlight=False)
    from fed_assets.resources.dagster_run import FinishedRun, Launch, plan_launch
    from fed_assets.resources.lanes import run_stages

    failed: dict[Step, list[str]] = {}
    going: list[Step] = []
    audited = {name: audited_at(home, name) for name in SANDBOX_NAMES}
    with JobsBar(pace, console=errors, transient=True) as bar:
        task = bar.add_task("", total=sum(map(pace.usual, steps)))

        def launch(step: Step) -> Launch:
            config = step.config(seeds, weighing)
            return plan_launch(home, job=step.job, sandbox=step.sandbox, config=config)

        def on_start(step: Step) -> None:
            going.append(step)
            pace.start(step)
            if not errors.is_terminal:
                errors.print(f"{step} (left: {pace.told()})", soft_wrap=True, highlight=False)
            bar.update(task, description="; ".join(map(str, going)))

        def on_end(step: Step, finished: FinishedRun) -> None:
            going.remove(step)
            pace.end(step, succeeded=finished.succeeded)
            # An audit that shows a broken word has a result all the same.
            name = str(step.sandbox)
            kept = step.job == AUDIT and audited_at(home, name) not in (None, audited[name])
            if not finished.succeeded and not kept:
                failed[step] = list(dict.fromkeys(finished.failures)) or [str(finished.log)]
                for why in failed[step] if step != COMPARE else ():  # which ends it, see `compare`
                    errors.print(f"{step}: {why}", soft_wrap=True, markup=False, style="red")
            bar.update(task, advance=pace.usual(step))

        on_stop = partial(errors.print, STOPPING, soft_wrap=True)
        stages = in_lanes(steps)
        run_stages(stages, launch, home, on_start=on_start, on_end=on_end, on_stop=on_stop)
    return failed


def _words(language: str) -> Words:
    from fed_assets.reporting.comparison_words import page_words

    return page_words(language)


def show_comparison(record: dict[str, Any], language: str) -> None:
    """Prints who may win, how often each comes first, each profile's choice, and what weakens it.

    Names stand whole in 80 columns.
    """
    from fed_assets.reporting.comparison_words import simulated_sandboxes, weakening

    words = _words(language)
    page = words.page
    table = _table(page["sandboxes"]["heading"], page["origin"]["sandbox"])
    table.add_column(page["sandboxes"]["standing"])
    for row in record["sandboxes"]:
        table.add_row(row["sandbox"], words.standing(row))
    out.print(table)
    profiles = list(record["profiles"].items())
    for start in range(0, len(profiles), PROFILES_ABREAST):
        abreast = profiles[start : start + PROFILES_ABREAST]
        table = _table(page["ranking"]["first"], page["origin"]["sandbox"])
        for name, _ in abreast:
            table.add_column(words.profile(name), justify="right")
        for row in record["sandboxes"]:
            table.add_row(row["sandbox"], *(_first(row["sandbox"], of, words) for _, of in abreast))
        out.print(table)
    out.print(page["ranking"]["first_note"], style="dim")
    if simulated := simulated_sandboxes(record):
        out.print(page["simulated_note"].format(sandboxes=", ".join(simulated)), style="bold")
    for name, profile in profiles:
        out.print(f"{words.profile(name)}: {profile['sentence'][language]}", highlight=False)
    if told := weakening(record, words):
        out.print(f"{page['answer']['cautions']}:")
    for said, _ in told:
        out.print(f"- {said}", highlight=False, markup=False)


def _table(title: str, first: str) -> Table:
    table = Table(title=title, title_justify="left")
    table.add_column(first, no_wrap=True)
    return table


def _first(sandbox: str, profile: dict[str, Any], words: Words) -> str:
    """Returns how often a sandbox comes first, as the page says it; of one alone, that it is."""
    if sandbox not in profile["first"]:
        return ""
    share = profile["first"][sandbox]
    if share is not None:
        return words.figure(formats.chance, share)
    only = profile["decision"]["status"] == "only"
    return str(words.page["ranking"]["only"]) if only else "\N{EN DASH}"
