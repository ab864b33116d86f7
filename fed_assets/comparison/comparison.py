"""The comparison of sandboxes: every number of it, from the measurements to the sentences.

    comparison = compare(records, sandboxes=names)
    comparison.as_record()      # comparison.json

The same records, settings and versions give the same comparison, to the last digit: it has no clock
and draws from a seed. The record holds the measurements, so that `recompute` can reckon it again,
with other profiles or another seed, without a run.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

from fed_assets.comparison.assumptions import assumed_cautions, pairs_where
from fed_assets.comparison.batched import GROUP_UTILITY, METHODS, NORMALIZED_BY
from fed_assets.comparison.by_chance import told_by_chance
from fed_assets.comparison.cells import doubt_is_unknown
from fed_assets.comparison.criteria import CRITERIA, OF_SANDBOXES
from fed_assets.comparison.criterion import MONEY
from fed_assets.comparison.doubt import drawn
from fed_assets.comparison.draws import draw_values
from fed_assets.comparison.features import feature_rows
from fed_assets.comparison.matrix import decision_rows, hospital_rows, sandbox_cells
from fed_assets.comparison.measurements import (
    Record,
    audit_of,
    by_sandbox,
    cautions,
    checked,
    keeps_its_word,
    measured_otherwise,
)
from fed_assets.comparison.outcome import outcome
from fed_assets.comparison.profiles import Profile, shipped_profiles
from fed_assets.comparison.ranking import MAY_WIN, problem_of, standing
from fed_assets.comparison.reference_rows import reference_part
from fed_assets.comparison.settings import Settings
from fed_assets.comparison.spreads import ASSUMED_SPREAD, pools, spread_cautions, spread_rows
from fed_assets.comparison.surroundings import Surroundings, currency_of
from fed_assets.errors import MeasurementError

FORMAT = 7


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """A comparison, as JSON-ready values.

    Attributes:
        settings: `Settings`, and what is fixed: methods, how values are `normalized_by` TOPSIS and
            VIKOR, VIKOR's `group_utility`, `assumed_spread`.
        sandboxes: a row each: `sandbox`, `standing`, `keeps_its_word`, `audit`, `seeds`, `run_ids`,
            and of `Surroundings.tried` what `failed` and why it was `left_out`.
        criteria: a row each, of `Criterion.as_record`.
        features: rows of `features.feature_rows`.
        decision: rows of `matrix.decision_rows`.
        hospitals: rows of `matrix.hospital_rows`.
        nodes: how many hospitals those are.
        references: of `reference_rows.reference_part`.
        left_out: criteria that tell nothing: `not_measured` by two that may win, `constant`, or
            without a pair that is apart beyond its own doubt (`by_chance`).
        counted_as_worst: `sandbox` and `criterion` of what was not measured though others were.
        spreads: what tells how far a machine's doing varies, of `spreads.spread_rows`.
        doubt_unknown: `sandbox` and `criterion` of what is not exact, and has no interval of width.
        profiles: by name, of `outcome.outcome`.
        cautions: what weakens it, of `cautions` of what it is made of, and of what is assumed.
        steps: by sandbox what is done by hand, of `Surroundings.steps_of`.
        surroundings: `Surroundings`.
        measurements: the records it was made of.
    """

    settings: Mapping[str, Any]
    sandboxes: Sequence[Mapping[str, Any]]
    criteria: Sequence[Mapping[str, Any]]
    features: Sequence[Mapping[str, Any]]
    decision: Sequence[Mapping[str, Any]]
    hospitals: Sequence[Mapping[str, Any]]
    nodes: int
    references: Mapping[str, Sequence[Any]]
    left_out: Mapping[str, Sequence[str]]
    counted_as_worst: Sequence[Mapping[str, str]]
    spreads: Sequence[Mapping[str, Any]]
    doubt_unknown: Sequence[Mapping[str, str]]
    profiles: Mapping[str, Mapping[str, Any]]
    cautions: Sequence[Mapping[str, Any]]
    steps: Mapping[str, Sequence[Mapping[str, Any]]]
    surroundings: Mapping[str, Any]
    measurements: Sequence[Mapping[str, Any]]

    def as_record(self) -> dict[str, Any]:
        """Returns what comparison.json holds."""
        return {"format": FORMAT, **{each.name: getattr(self, each.name) for each in fields(self)}}


def from_record(record: Mapping[str, Any]) -> Comparison:
    """Returns the comparison that `Comparison.as_record` described.

    Raises:
        MeasurementError: it is of another format, or a part is missing.
    """
    names = [each.name for each in fields(Comparison)]
    missing = [name for name in names if name not in record]
    if record.get("format") != FORMAT or missing:
        raise MeasurementError(
            "A stored comparison cannot be read",
            seen=f"format {record.get('format')!r}, without {', '.join(missing) or 'no part'}",
            cure="Make it again from the stored measurements with `fed-assets compare`.",
        )
    return Comparison(**{name: record[name] for name in names})


def compare(
    records: Iterable[Record],
    *,
    sandboxes: Sequence[str],
    profiles: Mapping[str, Profile] | None = None,
    settings: Settings | None = None,
    surroundings: Surroundings | None = None,
) -> Comparison:
    """Returns the comparison of what was measured.

    Args:
        records: measurement records (`measurements`), of one sandbox and seed each.
        sandboxes: all that are to be compared; one without a record is missing, and says so.
        profiles: by name; those that are shipped, if left out.
        settings: of the reckoning.
        surroundings: what is known beside the measurements.

    Raises:
        MeasurementError: a record cannot be read, or they cannot be compared.
    """
    settings, surroundings = settings or Settings(), surroundings or Surroundings()
    known = checked(records)
    found = by_sandbox(known)
    strangers = sorted(set(found) - set(sandboxes))
    if strangers:
        raise MeasurementError(
            "A sandbox was measured that is not compared",
            where=", ".join(strangers),
            seen=f"compared are {', '.join(sandboxes)}",
            cure="Name it among the sandboxes, or leave its measurements out.",
        )
    runs = {name: found.get(name, []) for name in sandboxes}
    cells = {name: sandbox_cells(of) for name, of in runs.items()}
    told = {name: surroundings.declared(name, of) for name, of in runs.items()}
    rows = [
        _sandbox_row(name, of, told[name], settings) | surroundings.tried(name, measured=bool(of))
        for name, of in runs.items()
    ]
    may_win = {row["sandbox"]: cells[row["sandbox"]] for row in rows if row["standing"] == MAY_WIN}
    plain = problem_of(may_win)
    problem = told_by_chance(plain, cells)
    values = draw_values(problem, cells, draws=settings.draws, seed=settings.seed)
    of = drawn(problem, values)
    measured = {each.name: each for each in problem.criteria}
    constant, alike = (each.constant() if len(may_win) > 1 else () for each in (plain, problem))
    unknown = pairs_where(doubt_is_unknown, problem, cells)
    spreads = spread_rows(problem, cells, pools(cells)) if len(may_win) > 1 else []
    of_doubt = [*spread_cautions(spreads, cells), *assumed_cautions(unknown, problem.gaps)]
    currency = surroundings.currency or currency_of(known)
    hospitals, otherwise = hospital_rows(runs), measured_otherwise(known)
    return Comparison(
        settings={
            **asdict(settings),
            "methods": list(METHODS),
            "normalized_by": NORMALIZED_BY,
            "group_utility": GROUP_UTILITY,
            "assumed_spread": ASSUMED_SPREAD,
        },
        sandboxes=rows,
        criteria=_priced(
            [measured.get(each.name, each).as_record() for each in CRITERIA], currency
        ),
        features=feature_rows(told),
        decision=_priced(
            decision_rows(cells, ranked=problem.sandboxes, criteria=problem.criteria), currency
        ),
        hospitals=hospitals,
        nodes=len({row["hospital"] for row in hospitals}),
        references=reference_part(runs),
        left_out={
            "not_measured": [each.name for each in OF_SANDBOXES if each.name not in measured],
            "constant": list(constant),
            "by_chance": [each for each in alike if each not in constant],
        },
        counted_as_worst=problem.gaps,
        spreads=spreads,
        doubt_unknown=unknown,
        profiles={
            name: outcome(
                profile,
                of,
                sandboxes=rows,
                otherwise=otherwise,
                spreads=spreads,
                doubt_unknown=[each["criterion"] for each in unknown],
                settings=settings,
            )
            for name, profile in (shipped_profiles() if profiles is None else profiles).items()
        },
        cautions=[*cautions(known), *surroundings.cautions(), *of_doubt],
        steps=surroundings.steps_of(known),
        surroundings=asdict(surroundings),
        measurements=list(known),
    )


def recompute(
    comparison: Comparison,
    *,
    profiles: Mapping[str, Profile] | None = None,
    settings: Settings | None = None,
) -> Comparison:
    """Returns a comparison reckoned again from its own measurements, without a run.

    Args:
        comparison: the comparison.
        profiles: by name; its own, if left out.
        settings: its own, if left out.
    """
    if profiles is None:
        profiles = {name: Profile(**of["profile"]) for name, of in comparison.profiles.items()}
    kept = {each.name: comparison.settings[each.name] for each in fields(Settings)}
    return compare(
        comparison.measurements,
        sandboxes=[row["sandbox"] for row in comparison.sandboxes],
        profiles=profiles,
        settings=settings or Settings(**kept),
        surroundings=Surroundings(**comparison.surroundings),
    )


def _priced(rows: Sequence[Mapping[str, Any]], currency: str | None) -> list[dict[str, Any]]:
    """Returns rows of which money has its currency for a unit, where it is known."""
    return [
        {**row, "unit": currency if currency and row["unit"] == MONEY else row["unit"]}
        for row in rows
    ]


def _sandbox_row(
    name: str, runs: Sequence[Record], told: Sequence[Record], settings: Settings
) -> dict[str, Any]:
    word, audit = keeps_its_word(told), audit_of(told)
    return {
        "sandbox": name,
        "standing": standing(
            measured=bool(runs),
            keeps_its_word=word,
            audit=audit,
            allow_unaudited=settings.allow_unaudited,
        ),
        "keeps_its_word": word,
        "audit": audit,
        "seeds": [each["seed"] for each in runs],
        "run_ids": [each.get("run_id") for each in runs],
    }
