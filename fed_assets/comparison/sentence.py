"""One sentence per profile that says the choice and how sure it is, in English and in Spanish.

All words stand in words.yaml.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from importlib import resources
from typing import Any

import yaml

from fed_assets.comparison.deciding import REFUTED
from fed_assets.comparison.decision import LIKELY, NONE, UNDECIDED
from fed_assets.comparison.ranking import NOT_MEASURED
from fed_assets.comparison.spreads import SOURCES, each_of, of_two_runs

LANGUAGES = ("en", "es")
OF_TWO = "pooled_of_two"  # runs alone, which have one degree of freedom


@cache
def words(language: str) -> Mapping[str, Any]:
    """Returns the words of a language, "en" or "es"; a page takes its labels from them too."""
    text = resources.files(__package__).joinpath("words.yaml").read_text(encoding="utf-8")
    found: Mapping[str, Any] = yaml.safe_load(text)[language]
    return found


def percent(probability: float, language: str, form: str = "percent") -> str:
    """Returns whole percents; never all or none of the draws, which are too few to say so.

    Args:
        probability: from 0 to 1.
        language: "en" or "es".
        form: "percent", or "share" after "in", where Spanish has an article.

    >>> percent(0.973, "en"), percent(0.999, "en"), percent(0.0, "es")
    ('97 %', 'more than 99 %', 'menos del 1 %')
    >>> percent(0.973, "es", "share")
    'el 97 %'
    """
    of = words(language)
    if probability > 0.99:
        return str(of["more_than"])
    if probability < 0.01:
        return str(of["less_than"])
    return str(of[form].format(number=round(100 * probability)))


def listed(names: Sequence[str], language: str) -> str:
    """Returns names as a sentence lists them.

    >>> listed(["a", "b", "c"], "en"), listed(["a"], "es")
    ('a, b and c', 'a')
    """
    if len(names) < 2:
        return "".join(names)
    return ", ".join(names[:-1]) + str(words(language)["and"]) + names[-1]


def sentence(
    profile: str,
    decision: Mapping[str, Any],
    *,
    first_by_method: Mapping[str, Sequence[str]],
    kept_out: Mapping[str, Sequence[str]],
    unaudited: Sequence[str],
    audited_otherwise: Sequence[str],
    otherwise: Sequence[Mapping[str, Any]],
    tells_nothing: float,
    spreads: Sequence[Mapping[str, Any]],
    doubt_unknown: Sequence[str],
    seeds: Mapping[str, Sequence[int]],
    language: str,
) -> str:
    """Returns the sentence of one profile.

    Args:
        profile: its name.
        decision: of `decision.decide`.
        first_by_method: of `ranking.first_by_method`.
        kept_out: the sandboxes that may not win, by the reason.
        unaudited: those that were let in though no audit was made of them.
        audited_otherwise: those that were let in though the audit was of other controls.
        otherwise: what was measured otherwise than is asked for now, of
            `measurements.measured_otherwise`.
        tells_nothing: how much of the profile's weight tells nothing apart; said of more than half.
        spreads: rows of `spreads.spread_rows`, of what the profile weighs.
        doubt_unknown: criteria in which one of those that may win has a figure of unknown doubt.
        seeds: those that each of those that may win was measured with, by sandbox.
        language: "en" or "es".
    """
    of = words(language)
    who = of["who"].get(profile) or of["who"]["other"].format(name=profile)
    contenders = [each for each in decision["contenders"] if each["probability"] is not None]
    others = contenders[1:] if decision["status"] == LIKELY else []
    unmeasured = decision["status"] == NONE and list(kept_out) == [NOT_MEASURED]
    told = of["none_measured" if unmeasured else decision["status"]].format(
        who=who,
        choice=decision["choice"],
        probability=percent(decision["probability"] or 0.0, language, "share"),
        others=_with_percents(others, language),
        contenders=_with_percents(contenders, language),
    )
    clauses = [disagreement(first_by_method, language)]
    clauses += [
        of[reason].format(sandboxes=listed(list(names), language))
        for reason, names in ({} if unmeasured else kept_out).items()
    ]
    clauses += [
        of[let_in].format(sandboxes=listed(list(names), language))
        for let_in, names in (
            ("unaudited_choice", unaudited),
            ("audited_otherwise_choice", audited_otherwise),
        )
        if names
    ]
    clauses += [measured_with(each, language) for each in otherwise]
    if decision["status"] in ("sure", LIKELY, UNDECIDED):
        share = percent(tells_nothing, language, "share")
        clauses.append(of["tells_nothing"].format(share=share) if tells_nothing > 0.5 else "")
        called = listed([of["criteria"][each] for each in doubt_unknown], language)
        clauses.append(of["doubt_unknown"].format(criteria=called) if called else "")
        clauses.append(_of_spreads(spreads, language))
        clauses += _of_seeds(seeds, language)
    return f"{'; '.join([told, *filter(None, clauses)])}."


def _of_spreads(rows: Sequence[Mapping[str, Any]], language: str) -> str:
    """Returns what told how far times and memory vary: own seeds, other sandboxes, or nothing."""
    of, told = words(language)["spreads"], []
    told_by: dict[str, list[Mapping[str, Any]]] = {}
    for row in rows:
        told_by.setdefault(OF_TWO if of_two_runs(row) else row["spread_from"], []).append(row)
    for source in (*SOURCES, OF_TWO):
        own = told_by.get(source, [])
        names = listed(each_of(own, "sandbox"), language)
        over = listed(sorted({name for row in own for name in row["over"]}), language)
        told += [of[source].format(sandboxes=names, over=over)] if own else []
    return str(of["told"].format(ways=listed(told, language))) if told else ""


def _of_seeds(seeds: Mapping[str, Sequence[int]], language: str) -> list[str]:
    """Returns which sandboxes have one seed or two alone, or not all seeds of the others."""
    of, everywhere = words(language), {seed for each in seeds.values() for seed in each}
    fewer = [name for name, own in seeds.items() if set(own) != everywhere]
    told = []
    for number, kind in ((1, "one_seed"), (2, "two_seeds")):
        alone = [name for name, own in seeds.items() if len(own) == number]
        if alone and len(alone) == len(seeds):
            told.append(str(of[kind]))
        elif alone:
            told.append(of[f"{kind}_of"].format(sandboxes=listed(alone, language)))
            fewer = [name for name in fewer if number > 1 or name not in alone]
    return told + ([of["fewer_seeds"].format(sandboxes=listed(fewer, language))] if fewer else [])


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
    'minimal by TOPSIS, eyes_on by VIKOR and PROMETHEE II'
    """
    of = words(language)
    methods: dict[tuple[str, ...], list[str]] = {}
    for method, first in first_by_method.items():
        methods.setdefault(tuple(first), []).append(of["methods"][method])
    if len(methods) < 2:
        return ""
    choices = (
        of["first_by"].format(sandboxes=listed(first, language), methods=listed(names, language))
        for first, names in methods.items()
    )
    return str(of["disagree"].format(choices=", ".join(choices)))


def _with_percents(contenders: Sequence[Mapping[str, Any]], language: str) -> str:
    return listed(
        [f"{each['sandbox']} ({percent(each['probability'], language)})" for each in contenders],
        language,
    )


def verdict(claim: Mapping[str, Any], language: str) -> str:
    """Returns the sentence on the claim that one group decides (`deciding.claim`)."""
    of = words(language)
    kind = claim["verdict"]
    if kind == REFUTED and claim["strongest"] is None:
        kind = "refuted_by_none"
    name, strongest = (
        str(of["groups_in_sentences"].get(each, ""))
        for each in (claim["group"], claim["strongest"])
    )
    return str(of["verdicts"][kind].format(group=name, strongest=strongest))
