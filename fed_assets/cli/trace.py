"""`fed-assets trace`: which data made a model, and which models contain a hospital's data."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from fed_assets.cli.exit_codes import FAILED
from fed_assets.cli.model_names import named, tell_doubts
from fed_assets.cli.saying import say
from fed_assets.errors import RunConfigError, StorageError
from fed_assets.federation.withdrawals import read_record, withdrawn
from fed_assets.registry.finding import find_hospital, find_model
from fed_assets.registry.lineage import (
    DIGEST_DIGITS,
    RUN_DIGITS,
    Model,
    Part,
    data_of,
    hospital_versions,
    models_with,
)
from fed_assets.resources.ledger import read_ledger
from fed_assets.resources.settings import Settings
from fed_assets.sandboxes.presets import SANDBOX_NAMES

out = Console()
errors = Console(stderr=True)


def trace(
    context: typer.Context,
    name: Annotated[
        str,
        typer.Argument(
            help="A model as SANDBOX@VERSION or its run's id, or HOSPITAL, or HOSPITAL@DIGEST."
        ),
    ],
    as_json: Annotated[bool, typer.Option("--json", help="Print it as JSON.")] = False,
    card: Annotated[
        Path | None, typer.Option(help="Write the model's card into this folder.")
    ] = None,
) -> None:
    """Say which data made a model, or which models contain a hospital's data.

    Ends with 1 where a record is damaged or differs from another: what is said may be too little.
    """
    chosen: Settings = context.obj
    models = read_ledger(chosen.home)
    if _names_a_model(name, models):
        model = find_model(models, name)
        if card is not None:
            _write_card(model, card)
        elif as_json:
            print(json.dumps(model.as_record(), indent=1))
        else:
            _show_model(model)
        if tell_doubts([model], errors):
            raise typer.Exit(FAILED)
        return
    if card is not None:
        raise RunConfigError(
            "A card is of a model", seen=name, cure="Name a model, as SANDBOX@VERSION or a run's id"
        )
    doubtful = tell_doubts(models, errors)  # first: it may be none that is known of for them
    hospital, digest = find_hospital(models, name)
    parts = models_with(models, hospital, digest)
    if as_json:
        print(json.dumps([part.as_record() for part in parts], indent=1))
    else:
        _show_hospital(hospital, digest, parts, len(hospital_versions(models)[hospital]))
        _show_standing(chosen, hospital)
    if doubtful:
        raise typer.Exit(FAILED)


def _names_a_model(name: str, models: Sequence[Model]) -> bool:
    """Returns whether a name is meant for a model; one that is nothing is taken for its kind."""
    before, at, _ = name.partition("@")
    if at:
        return before in SANDBOX_NAMES
    return name not in hospital_versions(models) and all(
        character in "0123456789abcdef-" for character in name
    )


def _write_card(model: Model, folder: Path) -> None:
    if model.lineage is None:
        raise RunConfigError(
            f"There is no lineage of {model.name}, which a card is made of",
            cure="Choose a model whose run left one, or run its sandbox again",
        )
    from fed_assets.reporting.model_card import card_files
    from fed_assets.resources.whole_files import write_whole

    for name, content in card_files(model.as_record()).items():
        try:
            write_whole(folder / name, content)
        except StorageError as error:
            raise RunConfigError(
                "The card cannot be written",
                where=str(folder),
                seen=error.seen,
                cure="Name a folder that you may write into; it is made where there is none",
            ) from None
        say(f"Card: {folder / name}")


def _show_model(model: Model) -> None:
    lineage = model.lineage
    if lineage is None:
        left = "what its run left is damaged" if model.damage else "its run left no lineage"
        say(f"{_titled(model)}: {left}; by its own record there took part:")
        for part in data_of(model):
            say(f"  {part.hospital}")
        return
    say(_titled(model), style="bold")
    for line in _facts(lineage):
        say(f"  {line}")
    out.print(_data_table(lineage))
    out.print(_rounds_table(lineage))


def _facts(lineage: Mapping[str, Any]) -> list[str]:
    from fed_assets.reporting.formats import interval

    resumed, test, code = lineage["resumed_from"], lineage["evaluation"]["test"], lineage["code"]
    made = (
        ""
        if lineage["trained_by"] == lineage["run_id"]
        else f", trained by {lineage['trained_by']}"
    )
    facts = [
        f"run {lineage['run_id']}{made}, {lineage['created']}",
        f"seed {lineage['seed']}, {len(lineage['rounds'])} rounds, NVFlare job "
        f"{lineage['job'] or 'none: every round was taken over'}",
        f"fed_assets {code['version']}, code {code['digest'][:DIGEST_DIGITS]}",
        f"weights {lineage['weights_digest'][:DIGEST_DIGITS]}",
    ]
    if resumed:
        facts.append(
            f"went on from run {resumed['run'][:RUN_DIGITS]} after round {resumed['round']}"
        )
    if test["images"]:
        facts.append(f"AUROC {interval(test['auroc'])} on {test['images']} common test images")
    facts += [f"degraded: {each['said']}" for each in lineage["shortfalls"]]
    return facts


def _data_table(lineage: Mapping[str, Any]) -> Table:
    table = Table(title="The data that made it", title_justify="left")
    for heading in ("hospital", "version of its data", "what came into the model"):
        table.add_column(heading, overflow="fold")
    for heading in ("training images", "epsilon"):
        table.add_column(heading, justify="right")
    model = Model(sandbox=lineage["sandbox"], run_id=lineage["run_id"], lineage=lineage)
    contained = {part.hospital: part for part in data_of(model)}
    for name, gave in lineage["hospitals"].items():
        part = contained.get(name)
        images, epsilon = gave["training_images"], gave["epsilon"]
        table.add_row(
            name,
            ", ".join(each[:DIGEST_DIGITS] for each in gave["data_digests"]),
            part.how if part else "nothing: it was let in, and took part in no round",
            "not known" if images is None else f"{images:,}",
            "" if epsilon is None else f"{epsilon:.2f}",
        )
    for name, why in lineage["excluded"].items():
        table.add_row(name, "", escape(f"nothing: {why}"), "", "")
    return table


def _rounds_table(lineage: Mapping[str, Any]) -> Table:
    table = Table(title="Its rounds", title_justify="left")
    table.add_column("round", justify="right")
    for heading in ("run", "update and weight in the sum", "missing", "global model"):
        table.add_column(heading, overflow="fold")
    for record in lineage["rounds"]:
        table.add_row(
            str(record["round"]),
            record["run"][:RUN_DIGITS],
            "\n".join(_update(name, sent) for name, sent in record["participants"].items()),
            escape("\n".join(f"{name}: {why}" for name, why in record["missing"].items())),
            record["global_digest"][:DIGEST_DIGITS],
        )
    return table


def _update(name: str, sent: Mapping[str, Any]) -> str:
    digest = (sent["update_digest"] or "")[:DIGEST_DIGITS]
    weight = "" if sent["weight"] is None else f"{sent['weight']:.3f}"
    return " ".join(filter(None, [name, digest, weight, sent["said"]]))


def _show_hospital(hospital: str, digest: str | None, parts: Sequence[Part], versions: int) -> None:
    which = f"version {digest[:DIGEST_DIGITS]}" if digest else _count(versions, "version")
    title = f"{hospital}: {which} of its data in {_count(len(parts), 'model')}"
    table = Table(title=title, title_justify="left")
    for heading in ("model", "state", "made", "version of its data", "what came into the model"):
        table.add_column(heading, overflow="fold")
    for part in parts:
        digests = ", ".join(each[:DIGEST_DIGITS] for each in part.data_digests)
        table.add_row(
            _named(part.model),
            part.model.standing,
            part.model.created[:16].replace("T", " "),
            digests or "not known",
            part.how,
        )
    out.print(table)


def _show_standing(chosen: Settings, hospital: str) -> None:
    """Says whether a hospital takes part, and each withdrawal and return of it."""
    for entry in read_record(chosen.home.withdrawals):
        if entry.hospital == hospital:
            say(entry.told)
    if gone := withdrawn(chosen.home.withdrawals).get(hospital):
        say(f"{hospital} takes no part: {gone}.")


def _named(model: Model) -> str:
    return named(model) + (f" (run {model.run_id[:RUN_DIGITS]})" if model.version else "")


def _titled(model: Model) -> str:
    made_up = " · SYNTHETIC DATA" if model.lineage and model.lineage["data"]["synthetic"] else ""
    return f"{_named(model)}: {model.standing}{made_up}"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
