"""What weakens the choice of one profile, a sentence each, in English and in Spanish.

All words stand in words.yaml.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from fed_assets.comparison.decision import LIKELY, SURE, UNDECIDED
from fed_assets.comparison.sentence import MOST, listed, percent, words
from fed_assets.comparison.spreads import ASSUMED, POOLED, each_of, of_two_runs

OFTEN = 1 / 3  # of the draws
OF_TWO = "pooled_of_two"  # runs alone, which have one degree of freedom
# The kind of a caveat, by what told a spread; what a sandbox shows of itself weakens nothing.
SPREADS = {
    POOLED: "spread_pooled",
    ASSUMED: "spread_assumed",
    OF_TWO: "spread_of_two_runs",
}


def caveats(
    status: str,
    *,
    first_by_method: Mapping[str, Sequence[str]],
    kept_out: Mapping[str, Sequence[str]],
    unaudited: Sequence[str],
    audited_otherwise: Sequence[str],
    otherwise: Sequence[Mapping[str, Any]],
    tells_nothing: float,
    reversals: Sequence[Mapping[str, Any]],
    spreads: Sequence[Mapping[str, Any]],
    doubt_unknown: Sequence[str],
    seeds: Mapping[str, Sequence[int]],
    language: str,
) -> list[dict[str, str]]:
    """Returns the sentences of one profile, each `said` with its `kind`.

    What a caution of the whole comparison tells too is of the same kind as that one.

    Args:
        status: of `decision.decide`: where nothing was drawn, nothing is said of what was.
        first_by_method: of `ranking.first_by_method`.
        kept_out: the sandboxes that may not win, by the reason.
        unaudited: those that were let in though no audit was made of them.
        audited_otherwise: those that were let in though the audit was of other controls.
        otherwise: what was measured otherwise than is asked for now, of
            `measurements.measured_otherwise`.
        tells_nothing: how much of the profile's weight tells nothing apart; said of most of it.
        reversals: of `doubt.reversals`, of which those are said that change the choice often.
        spreads: rows of `spreads.spread_rows`, of what the profile weighs.
        doubt_unknown: criteria in which one of those that may win has a figure of unknown doubt.
        seeds: those that each of those that may win was measured with, by sandbox.
        language: "en" or "es".
    """
    of = words(language)["caveats"]
    kept_out = {**kept_out, "unaudited": unaudited, "let_in_otherwise": audited_otherwise}
    found = [("disagree", disagreement(first_by_method, language))]
    found += [
        (why, of[why].format(sandboxes=listed(list(names), language)))
        for why, names in kept_out.items()
        if names
    ]
    found += [(str(each["kind"]), measured_with(each, language)) for each in otherwise]
    if status in (SURE, LIKELY, UNDECIDED):
        if tells_nothing > MOST:
            share = percent(tells_nothing, language, "share")
            found.append(("tells_nothing", of["tells_nothing"].format(share=share)))
        changes = {row["left_out"]: row["winner_changes"] for row in reversals}
        found += [
            (
                "rests_on",
                of["rests_on"].format(sandboxes=name, share=percent(share, language, "share")),
            )
            for name, share in changes.items()
            if share is not None and share >= OFTEN
        ]
        if doubt_unknown:
            called = listed([words(language)["criteria"][each] for each in doubt_unknown], language)
            found.append(("doubt_unknown", of["doubt_unknown"].format(criteria=called)))
        found += [*_of_spreads(spreads, language), *_of_seeds(seeds, language)]
    return [{"kind": kind, "said": said} for kind, said in found if said]


def _of_spreads(rows: Sequence[Mapping[str, Any]], language: str) -> Iterator[tuple[str, str]]:
    """Yields of whom others told how far times and memory vary, and of whom nothing did."""
    of = words(language)["caveats"]
    told_by: dict[str, list[Mapping[str, Any]]] = {}
    for row in rows:
        told_by.setdefault(OF_TWO if of_two_runs(row) else row["spread_from"], []).append(row)
    for source, kind in SPREADS.items():
        if own := told_by.get(source):
            names = listed(each_of(own, "sandbox"), language)
            over = listed(sorted({name for row in own for name in row["over"]}), language)
            yield kind, of[kind].format(sandboxes=names, over=over)


def _of_seeds(seeds: Mapping[str, Sequence[int]], language: str) -> Iterator[tuple[str, str]]:
    """Yields which sandboxes have one seed or two alone, or not all seeds of the others."""
    of, everywhere = words(language)["caveats"], {seed for each in seeds.values() for seed in each}
    fewer = [name for name, own in seeds.items() if set(own) != everywhere]
    for number, kind in ((1, "one_seed"), (2, "two_seeds")):
        alone = [name for name, own in seeds.items() if len(own) == number]
        if alone and len(alone) == len(seeds):
            yield kind, of[kind]
        elif alone:
            yield kind, of[f"{kind}_of"].format(sandboxes=listed(alone, language))
            fewer = [name for name in fewer if number > 1 or name not in alone]
    if fewer:
        yield "seeds_differ", of["seeds_differ"].format(sandboxes=listed(fewer, language))


def measured_with(caution: Mapping[str, Any], language: str) -> str:
    """Returns in what was measured, or audited, otherwise than is asked for now.

    Args:
        caution: its `kind` and `sandboxes`, and of some kinds what was `measured` and is `asked`.
        language: "en" or "es".
    """
    values = {name: _number(value, language) for name, value in caution.items()}
    told = {**values, "sandboxes": listed(caution["sandboxes"], language)}
    return str(words(language)["otherwise"][caution["kind"]].format(**told))


def _number(value: Any, language: str) -> Any:
    """Returns a threshold with the decimal mark of the language; anything else as it is."""
    return str(value).replace(".", ",") if isinstance(value, float) and language == "es" else value


def disagreement(first_by_method: Mapping[str, Sequence[str]], language: str) -> str:
    """Returns which method has whom first, where they do not agree on it; nothing where they do.

    >>> firsts = {"topsis": ["minimal"], "vikor": ["eyes_on"], "promethee_ii": ["eyes_on"]}
    >>> disagreement(firsts, "en").partition(": ")[2]
    'minimal by TOPSIS; eyes_on by VIKOR and PROMETHEE II.'
    """
    of = words(language)
    methods: dict[tuple[str, ...], list[str]] = {}
    for method, first in first_by_method.items():
        methods.setdefault(tuple(first), []).append(of["methods"][method])
    if len(methods) < 2:
        return ""
    choices = (
        of["caveats"]["first_by"].format(
            sandboxes=listed(first, language), methods=listed(names, language)
        )
        for first, names in methods.items()
    )
    return str(of["caveats"]["disagree"].format(choices="; ".join(choices)))
