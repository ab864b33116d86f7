"""`fed-assets forget`: a hospital withdraws, and no model with its data serves any more."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import Annotated

import typer
from rich.table import Table

from fed_assets.cli.exit_codes import FAILED
from fed_assets.cli.hosts import say_start_again
from fed_assets.cli.model_names import named, tell_doubts
from fed_assets.cli.names import require_hospital
from fed_assets.cli.saying import UnheardConsole, say
from fed_assets.errors import FedAssetsError
from fed_assets.federation import revocations, withdrawals
from fed_assets.registry.lineage import DIGEST_DIGITS, Part, models_with
from fed_assets.resources.home import Home
from fed_assets.resources.known_models import RETIRED
from fed_assets.resources.ledger import read_ledger
from fed_assets.resources.registered_models import CHAMPION
from fed_assets.resources.settings import Settings

LIMITS = (
    "The hospital's own store is the hospital's: nothing of it was touched, and no run looks at "
    "its images any more.",
    "Reports, MLflow's runs, lineage and weights that exist stay, as a record of what was done; "
    "they hold figures and digests of the hospital, and no image.",
    "Nothing was unlearned: weights cannot be freed of one hospital's share. The models were "
    "retired, and a model without the hospital has to be trained anew.",
)
out = UnheardConsole()
errors = UnheardConsole(stderr=True)


def forget(
    context: typer.Context,
    hospital: Annotated[str, typer.Argument(help="The hospital's id.")],
    by: Annotated[str, typer.Option(help="Who decides so.")],
    because: Annotated[str, typer.Option(help="What for.")],
    retrain: Annotated[
        bool, typer.Option("--retrain/--no-retrain", help="Train each affected sandbox anew.")
    ] = True,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    undo: Annotated[bool, typer.Option("--undo", help="Let it join again.")] = False,
) -> None:
    """Retire every model that contains a hospital's data, and leave it out from now on.

    A run that is under way with it comes to no model. Models of other hospitals stay as they are.
    Who decided so, when and why is kept, of an `--undo` too. Ends with 1 where something of that
    could not be done, or where a model's records are damaged or differ from what was signed.
    """
    chosen: Settings = context.obj
    require_hospital(chosen, hospital)
    withdrawals.require_person(by, because)
    if undo:
        _let_join_again(chosen, hospital, by=by, because=because, yes=yes)
        return
    before = read_ledger(chosen.home)
    if not yes:
        _show(hospital, models_with(before, hospital))
        typer.confirm(f"Retire them, and leave {hospital} out from now on?", abort=True)
    home = chosen.home.prepare()
    # All that is to be done is done before a word is said of it: who reads may be gone.
    done, failed = _leave_out(home, hospital, by=by, because=because)
    affected = models_with(read_ledger(home), hospital)  # with what a run registered meanwhile
    why = f"{hospital} withdrew on {datetime.now(UTC).date()} ({because})"
    also, unretired = _retire(home, affected, by=by, why=why)
    if yes:
        _show(hospital, models_with(before, hospital))
    for line in (*done, *also, *LIMITS):
        say(line, to=out)
    doubtful = tell_doubts(before, errors)  # of whichever model: they may concern the hospital
    for line in (*failed, *unretired):
        say(line, "red", to=errors)
    sandboxes = list(dict.fromkeys(part.model.sandbox for part in affected if part.model.sandbox))
    untrained = False
    if retrain:
        untrained = any([not _train_anew(home, sandbox, hospital) for sandbox in sandboxes])
    elif sandboxes:
        runs = "; ".join(f"fed-assets run {sandbox}" for sandbox in sandboxes)
        say(f"To train without it: {runs}", to=out)
    if failed or unretired or untrained or doubtful:
        raise typer.Exit(FAILED)


def _let_join_again(chosen: Settings, hospital: str, *, by: str, because: str, yes: bool) -> None:
    """Enters that a hospital joins again; models that were retired stay so."""
    home = chosen.home.prepare()
    if hospital not in withdrawals.read_withdrawals(home.withdrawals):
        say(f"{hospital} did not withdraw.", to=out)
        raise typer.Exit(FAILED)
    if not yes:
        typer.confirm(f"Let {hospital} join again?", abort=True)
    withdrawals.rejoin(home.withdrawals, hospital, by=by, because=because)
    revocations.reinstate(home.revocations, hospital)
    say(
        f"{hospital} may join again: the next run takes it in. Retired models stay retired.", to=out
    )
    say_start_again(chosen, hospital)


def _leave_out(home: Home, hospital: str, *, by: str, because: str) -> tuple[list[str], list[str]]:
    """Enters a hospital in both lists; returns what is to be said of it, and what failed."""
    done, failed = [], []
    try:
        entry = withdrawals.withdraw(home.withdrawals, hospital, by=by, because=because)
        done.append(f"{hospital} takes no part from now on: {entry.said}.")
    except FedAssetsError as error:  # its models are to be retired all the same
        failed.append(f"That {hospital} withdrew could not be entered. {error}")
    try:
        revocations.revoke(home.revocations, hospital)
    except FedAssetsError as error:
        failed.append(f"{hospital} could not be revoked. {error}")
    return done, failed


def _show(hospital: str, affected: Sequence[Part]) -> None:
    if not affected:
        say(f"No model contains data of {hospital}.", to=out)
        return
    table = Table(title=f"Models that contain data of {hospital}", title_justify="left")
    for heading in ("model", "state", "version of its data", "what came into the model"):
        table.add_column(heading, overflow="fold")
    for part in affected:
        digests = ", ".join(each[:DIGEST_DIGITS] for each in part.data_digests)
        table.add_row(named(part.model), part.model.standing, digests or "not known", part.how)
    out.print(table)


def _retire(
    home: Home, affected: Sequence[Part], *, by: str, why: str
) -> tuple[list[str], list[str]]:
    """Retires every registered version that is not retired yet, what serves before all others.

    Returns:
        What is to be said of it, and what could not be retired.
    """
    from fed_assets.resources.model_registry import ModelRegistry

    registry = ModelRegistry(home)
    done, retired, failed = [], [], []
    for model in sorted(
        (part.model for part in affected), key=lambda each: CHAMPION not in each.states
    ):
        if model.version is None:
            done.append(f"{named(model)} was never registered, and will not be.")
        elif RETIRED in model.states:
            done.append(f"{named(model)} was retired before.")
        else:
            try:
                registry.retire(model.sandbox, model.version, why, by=by)
                retired.append(model)
            except FedAssetsError as error:
                failed.append(f"{named(model)} could not be retired. {error}")
    for model in retired:
        serves = "it cannot be told what serves now"
        with suppress(FedAssetsError):
            champion = registry.champion(model.sandbox)
            serves = f"{model.sandbox}@{champion} serves now" if champion else "none serves now"
            if champion in registry.never_to_serve(model.sandbox):
                serves = f"none serves now: {model.sandbox}@{champion} may not; "
                serves += f"`fed-assets models show {model.sandbox} {champion}` says why"
        done.append(f"{named(model)} is retired; in {model.sandbox} {serves}.")
    return done, failed


def _train_anew(home: Home, sandbox: str, hospital: str) -> bool:
    """Runs the whole lifecycle without the hospital; says whether it came to a model."""
    from fed_assets.resources.dagster_run import execute, plan_launch
    from fed_assets.resources.jobs import LIFECYCLE

    launch = plan_launch(home, job=LIFECYCLE, sandbox=sandbox, config={})
    with out.status(f"{sandbox}: trains without {hospital}"):
        finished = execute(launch, home, on_progress=lambda _: None)
    if finished.succeeded:
        page = home.report(sandbox) / "report.html"
        say(f"{sandbox} is trained without {hospital}. Report: {page}", to=out)
        return True
    for failure in dict.fromkeys(finished.failures):
        errors.print(f"{sandbox}: {failure}", soft_wrap=True, markup=False, style="red")
    errors.print(f"{sandbox} could not be trained; the log is {finished.log}", soft_wrap=True)
    return False
