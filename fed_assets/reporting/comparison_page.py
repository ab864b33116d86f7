"""The comparison of sandboxes as one self-contained HTML page, in English or in Spanish.

It is made of the comparison's record alone: a stored one gives the same page, to the last byte.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import Any

from fed_assets.comparison.caveats import OF_TWO, disagreement
from fed_assets.comparison.comparison import from_record
from fed_assets.comparison.matrix import grid
from fed_assets.comparison.ranking import MAY_WIN
from fed_assets.comparison.spreads import POOLED, of_two_runs
from fed_assets.comparison.worst_hospital import WORST, worst_hospital
from fed_assets.reporting import formats
from fed_assets.reporting.canvas import DARK, LIGHT
from fed_assets.reporting.comparison_figures import draw_comparison
from fed_assets.reporting.comparison_maps import withholding
from fed_assets.reporting.comparison_references import reference_tables
from fed_assets.reporting.comparison_words import (
    Words,
    page_words,
    simulated_sandboxes,
    weakening,
)
from fed_assets.reporting.page import WRITTEN, data_uri, templates

Record = Mapping[str, Any]
Table = dict[str, dict[str, Mapping[str, Any]]]


def render_comparison(record: Record, language: str) -> str:
    """Returns the comparison as HTML that opens from a file, on paper, on a phone, by day or night.

    Args:
        record: of `Comparison.as_record`, or read from comparison.json.
        language: "en" or "es".

    Raises:
        ConfigurationError: there is no page in this language.
        MeasurementError: the record is no comparison of this format.
    """
    words = page_words(language)
    from_record(record)
    runs = record["measurements"]
    measured = {run["sandbox"] for run in runs}
    origin = _origin(runs, words) | _compared_on(record, words)
    drawn = any(of["ranks"] for of in record["profiles"].values())
    synthetic = any((run.get("data") or {}).get("synthetic") for run in runs)
    simulated = simulated_sandboxes(record)
    by_day, by_night = (
        draw_comparison(record, words, theme=theme, simulated=simulated, synthetic=synthetic)
        for theme in (LIGHT, DARK)
    )
    spreads = {(row["criterion"], row["sandbox"]): row for row in record["spreads"] if drawn}
    environment = templates()
    environment.filters.update(
        {each.__name__: formats.localized(each, language) for each in WRITTEN}, data_uri=data_uri
    )
    return environment.get_template("comparison.html.j2").render(
        record=record,
        words=words,
        weakening=weakening(record, words),
        disagreement=partial(disagreement, language=language),
        page=words.page,
        shared=words.shared,
        synthetic=synthetic,
        simulated=simulated,
        pictures={name: (day, by_night[name]) for name, day in by_day.items()},
        sandboxes=[row["sandbox"] for row in record["sandboxes"]],
        row_of={row["sandbox"]: row for row in record["sandboxes"]},
        measured_sandboxes=measured,
        ranked=sum(row["standing"] == MAY_WIN for row in record["sandboxes"]),
        title=words.title(origin["data"], measured=len(measured), of=len(record["sandboxes"])),
        decision=_by(record["decision"], "criterion", "sandbox"),
        hospitals=_hospitals(record["hospitals"]),
        references=reference_tables(record, words),
        features=_by(record["features"], "control", "sandbox"),
        spreads=spreads,
        of_two_runs=of_two_runs,
        pooled=_pooled(spreads.values(), words),
        unknown_doubt=_pairs(record["doubt_unknown"] if drawn else ()),
        worst=_pairs(record["counted_as_worst"]),
        worst_hospitals={WORST: _worst_hospitals(record, words)},
        rankings={name: _ranking(of) for name, of in record["profiles"].items()},
        # What was measured is weighed by every profile, be it with 0.
        weighed=list(next(iter(record["profiles"].values()), {"weights": {}})["weights"]),
        origin=origin,
        steps=record["steps"],
        unknown=_unknown(runs),
        withholding=withholding(record),
        unknown_of_hospitals=_unknown_of_hospitals(runs),
        prices=next((run["prices"] for run in runs if run.get("prices")), None),
    )


def _unknown(runs: Iterable[Record]) -> dict[tuple[str, str], list[str]]:
    """Returns the sandboxes of which a criterion was not measured, by criterion and why."""
    found: dict[tuple[str, str], list[str]] = {}
    for run in runs:
        for criterion, why in (run.get("not_measured") or {}).items():
            of = found.setdefault((criterion, why), [])
            of += [] if run["sandbox"] in of else [run["sandbox"]]
    return found


def _unknown_of_hospitals(runs: Iterable[Record]) -> dict[tuple[str, str], list[str]]:
    """Returns the hospitals of which a criterion was not measured, though of their sandbox it was.

    By criterion and why; each with its sandbox.
    """
    found: dict[tuple[str, str], list[str]] = {}
    for run in runs:
        for hospital, entry in (run.get("hospitals") or {}).items():
            for criterion, why in (entry.get("not_measured") or {}).items():
                of = found.setdefault((criterion, why), [])
                named = f"{hospital} ({run['sandbox']})"
                if criterion not in (run.get("not_measured") or {}) and named not in of:
                    of.append(named)
    return {key: of for key, of in found.items() if of}


def _worst_hospitals(record: Record, words: Words) -> str:
    """Returns at which hospital each sandbox is at its worst; nothing where all are at the same.

    Of several seeds it may be several. Where most sandboxes have the same, those are the others.
    """
    told = words.page["decision"]
    found: dict[str, list[str]] = {}
    for sandbox in (row["sandbox"] for row in record["sandboxes"]):
        runs = [run for run in record["measurements"] if run["sandbox"] == sandbox]
        if names := {each for run in runs if (each := worst_hospital(run))}:
            found.setdefault(", ".join(sorted(names)), []).append(sandbox)
    if len(found) < 2:
        return ""
    *rare, (most, others) = sorted(found.items(), key=lambda each: len(each[1]))
    if len(rare[-1][1]) == len(others):
        rare, most = list(found.items()), ""
    parts = [
        told["worst_at"].format(hospital=name, sandboxes=", ".join(of_name))
        for name, of_name in rare
    ]
    parts += [told["worst_at_others"].format(hospital=most)] if most else []
    return str(told["worst_hospital"].format(told="; ".join(parts)))


def _by(rows: Iterable[Mapping[str, Any]], down: str, across: str) -> Table:
    found: Table = {}
    for row in rows:
        found.setdefault(row[down], {})[row[across]] = row
    return found


def _hospitals(rows: Sequence[Mapping[str, Any]]) -> dict[str, tuple[list[str], Table]]:
    """Returns the criteria, and the rows by hospital and criterion, of each measured sandbox."""
    found = {}
    for sandbox in dict.fromkeys(row["sandbox"] for row in rows):
        own = [row for row in rows if row["sandbox"] == sandbox]
        if any(row["value"] is not None for row in own):
            found[sandbox] = (grid(own, by="hospital")[1], _by(own, "hospital", "criterion"))
    return found


def _pairs(entries: Iterable[Mapping[str, str]]) -> set[tuple[str, str]]:
    return {(each["criterion"], each["sandbox"]) for each in entries}


def _pooled(spreads: Iterable[Mapping[str, Any]], words: Words) -> list[str]:
    """Returns of each criterion which spread of other sandboxes stands in, and over which."""
    pooled = {row["criterion"]: row for row in spreads if row["spread_from"] == POOLED}
    return [
        words.page["decision"][OF_TWO if of_two_runs(row) else "pooled_of"].format(
            criterion=words.criterion(criterion),
            spread=words.figure(formats.percents, row["relative_deviation"], 1),
            degrees=row["degrees_of_freedom"],
            over=", ".join(row["over"]),
        )
        for criterion, row in pooled.items()
    ]


def _ranking(of: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Returns score and rank by sandbox and method, those that come first most often first."""
    found: dict[str, dict[str, Any]] = {}
    for sandbox in sorted(of["first"], key=lambda each: (-(of["first"][each] or 0.0), each)):
        found[sandbox] = {
            method: next(row for row in rows if row["sandbox"] == sandbox)
            for method, rows in of["ranking"].items()
        }
    return found


def _origin(runs: Sequence[Record], words: Words) -> dict[str, Any]:
    """Returns what the figures came from; where runs differ, all of it, with whom it concerns."""
    dates = sorted(formats.date(run["created"]) for run in runs if run.get("created"))
    data = [run.get("data") or {} for run in runs]
    seeds: dict[str, list[str]] = {}
    for run, of in zip(runs, data, strict=True):
        if of.get("digest"):
            seeds.setdefault(of["digest"], []).append(str(run["seed"]))
    return {
        "data": words.data(next((of["name"] for of in data if of.get("name")), None)),
        "digests": {digest: list(dict.fromkeys(of)) for digest, of in seeds.items()},
        "classes": next((of["classes"] for of in data if of.get("classes")), []),
        "dates": list(dict.fromkeys([*dates[:1], *dates[-1:]])),
        "seeds": sorted({run["seed"] for run in runs}),
        "rounds": _told(
            runs, lambda run: None if run.get("rounds") is None else str(run["rounds"])
        ),
        "machine": _told(runs, lambda run: _machine(run.get("machine") or {}, words)),
        "versions": _told(runs, lambda run: _versions(run.get("versions") or {})),
    }


def _compared_on(record: Record, words: Words) -> dict[str, Any]:
    """Returns the machine and the versions that the comparison was made on, where nothing ran."""
    if record["measurements"]:
        return {}
    found = record["surroundings"]
    told = {"machine": _machine(found["machine"], words), "versions": _versions(found["versions"])}
    by_whom = [words.page["origin"]["compared_on"]]
    return {name: [(said, by_whom)] if said else [] for name, said in told.items()}


def _versions(versions: Mapping[str, Any]) -> str:
    return ", ".join(f"{key} {of}" for key, of in versions.items())


def _machine(machine: Mapping[str, Any], words: Words) -> str:
    called = words.page["machine"]
    return ", ".join(
        f"{called.get(key, key.replace('_', ' '))}: "
        + (words.figure(formats.size, value) if key.endswith("_bytes") else str(value))
        for key, value in machine.items()
    )


def _told(runs: Sequence[Record], tell: Any) -> list[tuple[str, list[str]]]:
    """Returns what runs say, each with the sandboxes that say it, or with none where all do."""
    found: dict[str, list[str]] = {}
    for run in runs:
        if said := tell(run):
            found.setdefault(said, []).append(run["sandbox"])
    if len(found) == 1 and sum(map(len, found.values())) == len(runs):
        return [(said, []) for said in found]
    return [(said, list(dict.fromkeys(of))) for said, of in found.items()]
