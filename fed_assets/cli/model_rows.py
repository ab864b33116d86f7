"""What `fed-assets models` shows of versions, as JSON-ready rows."""

from __future__ import annotations

from typing import Any

from fed_assets.registry.gate import unjudged
from fed_assets.registry.promotions import Event, History
from fed_assets.registry.version import ModelVersion
from fed_assets.reporting.formats import METRIC_NAMES, interval
from fed_assets.reporting.recipe_words import recipe_in_words, setting_name, setting_value
from fed_assets.resources.model_registry import ModelRegistry

METRICS = ("auroc", "accuracy", "f1", "sensitivity", "specificity")
DIGITS = 12
# What two versions are held against each other by, beside their figures.
# `weights` is the digest that rounds and traces bear, of the numbers; that of their file is in the
# package's manifest, and in every answer of the service.
MADE_OF = (
    *("data", "common test", "weights", "weights file", "code"),
    *("network", "seed", "rounds", "threshold"),
)


def version_row(registry: ModelRegistry, sandbox: str, version: int) -> dict[str, Any]:
    """Returns a version as a row of the list.

    `standing` names what it is: champion, challenger, retired; `closed` its closed gates, and
    `unjudged` those that its last judgement lacks, None where it was not judged; `untrue` what is
    wrong with its records, None where nothing is.
    Where it is not `whole` it has no record, and nothing else is told.
    """
    record, history = registry.record(sandbox, version), registry.history(sandbox)
    retired = registry.retired(sandbox)
    judged = history.judgement(version)
    standing = {
        "champion": registry.champion(sandbox) == version,
        "challenger": registry.challenger(sandbox) == version,
        "retired": version in retired,
    }
    closed = [gate["name"] for gate in gates_of(history, version) if not gate["passed"]]
    return {
        "sandbox": sandbox,
        "version": version,
        "standing": [name for name, holds in standing.items() if holds],
        "closed": None if judged is None else closed,
        "unjudged": None if judged is None else unjudged(judged.gates),
        "packaged": registry.is_packaged(sandbox, version),
        "retired": retired.get(version),
        "untrue": registry.untrue(sandbox).get(version),
        "whole": record is not None,
        **({} if record is None else _told(record)),
    }


def _told(record: ModelVersion) -> dict[str, Any]:
    return {
        "created": record.created,
        "run_id": record.run_id,
        "auroc": record.figure("test", "auroc"),
        "accuracy": record.figure("test", "accuracy"),
        "participants": len(record.participants),
        "roster": len({*record.participants, *record.absent}),
        "weights_digest": record.weights_digest,
        "synthetic": record.synthetic,
        "degraded": record.degraded,
    }


def gates_of(history: History, version: int) -> list[dict[str, Any]]:
    """Returns the gates of a version as they were judged last."""
    judged = history.judgement(version)
    return [] if judged is None else list(judged.gates)


def events_of(history: History, version: int) -> list[dict[str, Any]]:
    """Returns what became of a version; of gates, only the name of the one that was `opened`."""
    return [_told_event(event) for event in history.of(version)]


def _told_event(event: Event) -> dict[str, Any]:
    record = {name: each for name, each in event.as_record().items() if name != "gates"}
    opened = event.gates[0]["name"] if event.event == "waived" else None
    return record if opened is None else record | {"opened": opened}


def made_of(record: ModelVersion) -> dict[str, Any]:
    """Returns what made a version, in a few words each."""
    spent = {name: each for name, each in (record.epsilon or {}).items() if each is not None}
    most = max(spent, key=lambda name: spent[name], default=None)
    private = (
        {"epsilon": f"{spent[most]:.2f} of {record.epsilon_budget:g} at {most}, the most"}
        if most
        else {}
    )
    return {
        "run": record.run_id,
        **_facts(record),
        "recipe": ", ".join(
            f"{setting_name(name)} {setting_value(value)}" for name, value in record.recipe.items()
        ),
        "took part": ", ".join(record.participants),
        **({"not all the time": "; ".join(record.absent.values())} if record.absent else {}),
        **private,
        **({"data are": "SYNTHETIC"} if record.synthetic else {}),
        **{
            METRIC_NAMES[metric]: interval(record.evaluation["test"][metric])
            for metric in METRICS
            if record.figure("test", metric) is not None
        },
    }


def _facts(record: ModelVersion) -> dict[str, Any]:
    facts = (
        record.data_digest[:DIGITS],
        (record.common_test_digest or "none")[:DIGITS],
        record.final_digest[:DIGITS],
        record.weights_digest[:DIGITS],
        record.code_version,
        str(record.network.get("_target_", "")).rpartition(".")[2],
        record.seed,
        record.rounds,
        record.threshold,
    )
    return dict(zip(MADE_OF, facts, strict=True))


def difference_rows(one: ModelVersion, other: ModelVersion) -> list[dict[str, Any]]:
    """Returns two versions side by side: `what`, `one`, `other`, and the `difference` of figures.

    That is what the other has over the one, so that a gain is above zero. Of what is no figure, the
    difference is the word `differs`, or None where there is none. The figures are each version's
    own, as it was reported: what both came to on the very same images is in the gates. Training
    settings and controls stand there where they differ, settings in the model card's words.
    """
    rows = [_figure("common test set", "test", metric, one, other) for metric in METRICS]
    hospitals = [*one.evaluation["hospitals"]]
    hospitals += [name for name in other.evaluation["hospitals"] if name not in hospitals]
    rows += [
        _figure(name, name, metric, one, other)
        for name in hospitals
        for metric in ("auroc", "accuracy")
    ]
    rows = [row for row in rows if row["one"] is not None or row["other"] is not None]
    facts, others = _facts(one), _facts(other)
    rows += [_plain(name, facts[name], others[name]) for name in facts]
    settings, of_other = recipe_in_words(one.recipe), recipe_in_words(other.recipe)
    for name in {**settings, **of_other}:
        if settings.get(name) != of_other.get(name):
            rows.append(_plain(f"training setting: {name}", settings.get(name), of_other.get(name)))
    for name in {**one.controls, **other.controls}:
        if one.controls.get(name) != other.controls.get(name):
            rows.append(
                _plain(f"control: {name}", one.controls.get(name), other.controls.get(name))
            )
    for name in dict.fromkeys((*one.participants, *one.absent, *other.participants, *other.absent)):
        rows.append(_plain(f"{name} took part", _part(one, name), _part(other, name)))
    return rows


def _figure(
    called: str, place: str, metric: str, one: ModelVersion, other: ModelVersion
) -> dict[str, Any]:
    first, second = one.figure(place, metric), other.figure(place, metric)
    return {
        "what": f"{METRIC_NAMES[metric]}, {called}",
        "one": first,
        "other": second,
        "difference": None if first is None or second is None else second - first,
    }


def _plain(what: str, one: Any, other: Any) -> dict[str, Any]:
    return {
        "what": what,
        "one": one,
        "other": other,
        "difference": None if one == other else "differs",
    }


def _part(version: ModelVersion, hospital: str) -> str:
    if hospital not in version.participants:
        return "no"
    return "in part" if hospital in version.absent else "yes"
