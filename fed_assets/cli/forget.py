"""`fed-assets forget`: a hospital withdraws, and no model with its data serves any more."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from fed_assets.cli.exit_codes import FAILED
from fed_assets.cli.names import require_hospital
from fed_assets.cli.saying import say, user
from fed_assets.errors import FedAssetsError
from fed_assets.federation import revocations, withdrawals
from fed_assets.registry.lineage import DIGEST_DIGITS, Model, Part, models_with
from fed_assets.resources.home import Home
from fed_assets.resources.known_models import RETIRED
from fed_assets.resources.ledger import read_ledger
from fed_assets.resources.settings import Settings

LIMITS = (
    "The hospital's own store is the hospital's: nothing of it was touched. Until the hospital "
    "leaves the roster, runs still look through its images there, and use none.",
    "Reports, MLflow's runs, lineage and weights that exist stay, as a record of what was done; "
    "they hold figures and digests of the hospital, and no image.",
    "Nothing was unlearned: weights cannot be freed of one hospital's share. The models were "
    "retired, and a model without the hospital has to be trained anew.",
)
out = Console()
errors = Console(stderr=True)


def forget(
    context: typer.Context,
    hospital: Annotated[str, typer.Argument(help="The hospital's id.")],
    by: Annotated[str | None, typer.Option(help="Who says so; you, if left out.")] = None,
    because: Annotated[str, typer.Option(help="Why.")] = "",
    retrain: Annotated[
        bool, typer.Option("--retrain/--no-retrain", help="Train each affected sandbox anew.")
    ] = True,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    undo: Annotated[bool, typer.Option("--undo", help="Let it join again.")] = False,
) -> None:
    """Retire every model that contains a hospital's data, and leave it out from now on.

    A run that is under way with it comes to no model. Models of other hospitals stay as they are.
    """
    chosen: Settings = context.obj
    require_hospital(chosen, hospital)
    if undo:
        _let_join_again(chosen, hospital)
        return
    try:
        _show(hospital, models_with(read_ledger(chosen.home), hospital))
    except FedAssetsError as error:  # it takes no part all the same; which models are to go, waits
        errors.print(f"Its models cannot be told. {error}", soft_wrap=True, markup=False)
    if not yes:
        typer.confirm(f"Retire them, and leave {hospital} out from now on?", abort=True)
    home = chosen.home.prepare()
    named = by or user()
    entry = withdrawals.withdraw(home.withdrawals, hospital, by=named, because=because)
    revocations.revoke(home.revocations, hospital)
    say(f"{hospital} takes no part from now on: {entry.said}.")
    # Read again: what a run registered before the entry is here, and what comes after is refused.
    affected = models_with(read_ledger(home), hospital)
    failed = _retire(home, affected, by=named, why=f"{hospital} withdrew on {entry.since[:10]}")
    for line in LIMITS:
        say(line)
    sandboxes = list(dict.fromkeys(part.model.sandbox for part in affected))
    if retrain:
        failed |= any([not _train_anew(home, sandbox, hospital) for sandbox in sandboxes])
    elif sandboxes:
        runs = "; ".join(f"fed-assets run {sandbox}" for sandbox in sandboxes)
        say(f"To train without it: {runs}")
    if failed:
        raise typer.Exit(FAILED)


def _let_join_again(chosen: Settings, hospital: str) -> None:
    """Takes a hospital off both lists; models that were retired stay so."""
    home = chosen.home.prepare()
    if not withdrawals.rejoin(home.withdrawals, hospital):
        say(f"{hospital} did not withdraw.")
        raise typer.Exit(FAILED)
    revocations.reinstate(home.revocations, hospital)
    say(f"{hospital} may join again: the next run takes it in. Retired models stay retired.")


def _show(hospital: str, affected: Sequence[Part]) -> None:
    if not affected:
        say(f"No model contains data of {hospital}.")
        return
    table = Table(title=f"Models that contain data of {hospital}", title_justify="left")
    for heading in ("model", "state", "version of its data", "what came into the model"):
        table.add_column(heading, overflow="fold")
    for part in affected:
        digests = ", ".join(each[:DIGEST_DIGITS] for each in part.data_digests)
        state = ", ".join(part.model.states) or "not registered"
        table.add_row(_named(part.model), state, digests or "not known", part.how)
    out.print(table)


def _retire(home: Home, affected: Iterable[Part], *, by: str, why: str) -> bool:
    """Retires every registered version that is not retired yet; says whether one could not be."""
    from fed_assets.resources.model_registry import ModelRegistry

    registry, failed = ModelRegistry(home), False
    for model in (part.model for part in affected):
        if model.version is None:
            say(f"{_named(model)} was never registered, and will not be.")
        elif RETIRED in model.states:
            say(f"{_named(model)} was retired before.")
        else:
            try:
                registry.retire(model.sandbox, model.version, why, by=by)
            except FedAssetsError as error:
                failed = True
                errors.print(
                    f"{_named(model)} could not be retired. {error}",
                    soft_wrap=True, markup=False, style="red",
                )  # fmt: skip
            else:
                champion = registry.champion(model.sandbox)
                serves = f"{model.sandbox}@{champion} serves" if champion else "none serves"
                say(f"{_named(model)} is retired; in {model.sandbox} {serves} now.")
    return failed


def _train_anew(home: Home, sandbox: str, hospital: str) -> bool:
    """Runs the whole lifecycle without the hospital; says whether it came to a model."""
    from fed_assets.resources.dagster_run import execute, plan_launch
    from fed_assets.resources.jobs import LIFECYCLE

    launch = plan_launch(home, job=LIFECYCLE, sandbox=sandbox, config={})
    with out.status(f"{sandbox}: trains without {hospital}"):
        finished = execute(launch, home, on_progress=lambda _: None)
    if finished.succeeded:
        page = home.report(sandbox) / "report.html"
        say(f"{sandbox} is trained without {hospital}. Report: {page}")
        return True
    for failure in dict.fromkeys(finished.failures):
        errors.print(f"{sandbox}: {failure}", soft_wrap=True, markup=False, style="red")
    errors.print(f"{sandbox} could not be trained; the log is {finished.log}", soft_wrap=True)
    return False


def _named(model: Model) -> str:
    return model.name if model.version else f"{model.sandbox}, run {model.name}"
