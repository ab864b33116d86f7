"""What a comparison chose by a profile, and how sure that is, in English and in Spanish.

All words stand in words.yaml. What weakens a choice is said by `caveats`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from importlib import resources
from typing import Any

import yaml

from fed_assets.comparison.deciding import REFUTED
from fed_assets.comparison.decision import LIKELY

LANGUAGES = ("en", "es")
MOST = 0.5  # a larger share of a profile's weight is most of it


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
    unmeasured: bool = False,
    tells_nothing: float = 0.0,
    language: str,
) -> str:
    """Returns what the choice of one profile is, and how sure: one sentence, or two short ones.

    Args:
        profile: its name.
        decision: of `decision.decide`.
        unmeasured: whether nothing at all was measured, which is why none may win.
        tells_nothing: how much of the profile's weight tells nothing apart; said of most of it.
        language: "en" or "es".
    """
    of = words(language)
    who = of["who"].get(profile) or of["who_by"].format(name=profile)
    contenders = [each for each in decision["contenders"] if each["probability"] is not None]
    others = contenders[1:] if decision["status"] == LIKELY else []
    return str(of["none_measured" if unmeasured else decision["status"]]).format(
        who=who,
        choice=decision["choice"],
        probability=percent(decision["probability"] or 0.0, language, "share"),
        others=with_percents(others, language),
        contenders=with_percents(contenders, language),
        alike=of["alike"] if tells_nothing > MOST else "",
    )


def with_percents(contenders: Sequence[Mapping[str, Any]], language: str) -> str:
    """Returns contenders of `decision.decide`, each with how often it comes first in brackets."""
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
