from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest

from fed_assets.comparison.batched import METHODS
from fed_assets.comparison.caveats import caveats
from fed_assets.comparison.criteria import CRITERIA
from fed_assets.comparison.criterion import GROUPS
from fed_assets.comparison.decision import STATUSES, decide, kept_out
from fed_assets.comparison.profiles import shipped_profiles
from fed_assets.comparison.ranking import MAY_WIN, STANDINGS
from fed_assets.comparison.sentence import LANGUAGES, percent, sentence, verdict, words
from fed_assets_tests.sentences import sentences_of, too_long


def told(first: dict[str, float], language: str = "en", **more: Any) -> str:
    """Returns the sentence, and the caveats after it."""
    given: dict[str, Any] = {
        "first_by_method": {},
        "kept_out": {},
        "unaudited": [],
        "audited_otherwise": [],
        "otherwise": [],
        "tells_nothing": 0.0,
        "reversals": [],
        "spreads": [],
        "doubt_unknown": [],
        "seeds": {},
    }
    weighed = more.pop("weighed", True)
    profile = more.pop("profile", "clinician")
    unmeasured = more.pop("unmeasured", False)
    alike = more.get("tells_nothing", 0.0)
    decision = decide(first, weighed=weighed)
    choice = sentence(
        profile, decision, unmeasured=unmeasured, tells_nothing=alike, language=language
    )
    weakens = caveats(decision["status"], language=language, **(given | more))
    return " ".join([choice, *(each["said"] for each in weakens)])


@pytest.mark.parametrize(
    "first, status, choice, contenders",
    [
        ({}, "none", None, []),
        ({"a": 0.4}, "only", "a", ["a"]),
        ({"a": 0.95, "b": 0.05}, "sure", "a", ["a"]),
        ({"a": 0.94, "b": 0.06}, "likely", "a", ["a", "b"]),
        ({"a": 0.66, "b": 0.30, "c": 0.04}, "likely", "a", ["a", "b"]),
        ({"a": 0.65, "b": 0.35}, "undecided", None, ["a", "b"]),
        ({"a": 0.02, "b": 0.46, "c": 0.52}, "undecided", None, ["c", "b"]),
        ({"a": 0.5, "b": 0.5}, "undecided", None, ["a", "b"]),
        ({"a": 0.25, "b": 0.25, "c": 0.25, "d": 0.25}, "undecided", None, ["a", "b", "c", "d"]),
    ],
)
def test_five_words_for_how_sure_a_choice_is(first, status, choice, contenders) -> None:
    found = decide(first)
    assert (found["status"], found["choice"]) == (status, choice)
    assert [each["sandbox"] for each in found["contenders"]] == contenders


def test_nothing_that_weighs_was_measured_makes_no_choice() -> None:
    assert decide({"a": 0.0, "b": 0.0}, weighed=False)["status"] == "nothing_weighed"
    assert decide({}, weighed=False)["status"] == "none"


def test_sentences_in_english() -> None:
    assert told({"minimal": 0.972, "eyes_on": 0.028}) == (
        "For a clinician the choice is minimal, and it is sure. It comes first in 97 % of the "
        "draws of weights and measurements."
    )
    assert told({"minimal": 0.78, "eyes_on": 0.21, "eyes_off": 0.01}) == (
        "For a clinician the choice is likely minimal. It comes first in 78 % of the draws of "
        "weights and measurements, before eyes_on (21 %)."
    )
    assert told({"minimal": 0.51, "eyes_on": 0.48, "eyes_off": 0.01}) == (
        "For a clinician it is undecided. First in the draws of weights and measurements come "
        "minimal (51 %) and eyes_on (48 %)."
    )
    assert told({}, kept_out={"broke_its_word": ["minimal"], "not_measured": ["eyes_on"]}) == (
        "For a clinician none may win. Kept out because the posture check failed: minimal. Not "
        "measured: eyes_on."
    )
    assert told({}, unmeasured=True) == (
        "For a clinician there is no choice yet, as no sandbox was measured."
    )
    assert told({"minimal": 1.0}, unaudited=["minimal"]) == (
        "For a clinician there is nothing to choose between. The only one that may win is minimal, "
        "so nothing was ranked. Let in on request, though no audit was made: minimal."
    )
    assert told({"a": 0.0, "b": 0.0}, weighed=False, profile="mine") == (
        "By the profile mine, there is no choice, as nothing that this profile weighs was measured."
    )


def test_sentences_in_spanish() -> None:
    assert told({"minimal": 0.972, "eyes_on": 0.028}, "es", profile="operations") == (
        "Para quien opera las máquinas, la elección es minimal, y es segura. Queda primero en el "
        "97 % de los sorteos de pesos y medidas."
    )
    assert told({"minimal": 0.999, "eyes_on": 0.001}, "es").count("en más del 99 % de los") == 1
    undecided = told(
        {"minimal": 0.51, "eyes_on": 0.49}, "es", seeds={"minimal": [0], "eyes_on": [0]}
    )
    assert "quedan primero minimal (51 %) y eyes_on (49 %)." in undecided
    assert undecided.endswith(
        ". Medido con una sola semilla, de modo que no recoge el azar entre entrenamientos."
    )


@pytest.mark.parametrize("language", LANGUAGES)
def test_each_is_whole_sentences_without_a_gap(language) -> None:
    reasons = [each for each in STANDINGS if each != MAY_WIN]
    everyone_out = dict(zip(reasons, (["x"], ["y", "z"], ["v"], ["w"]), strict=True))
    for first in (
        {},
        {"a": 1.0},
        {"a": 0.97, "b": 0.03},
        {"a": 0.7, "b": 0.3},
        {"a": 0.5, "b": 0.5},
    ):
        for profile in (*shipped_profiles(), "our_hospital"):
            found = told(
                first,
                language,
                profile=profile,
                kept_out=everyone_out,
                unaudited=["u"],
                audited_otherwise=["v"],
                otherwise=[
                    {"kind": f"other_{part}", "measured": 3, "asked": 15, "sandboxes": ["a", "b"]}
                    for part in ("rounds", "network", "recipe", "threshold", "controls")
                ],
                seeds={"a": [0, 1, 2], "b": [0], "u": [0, 1]},
            )
            assert found.endswith(".") and ".." not in found
            assert all(each[0].isupper() for each in sentences_of(found))
            assert "None" not in found and "{" not in found and ",," not in found
            assert too_long(found) == []


@pytest.mark.parametrize(
    "language, said",
    [
        ("en", "do not agree on who comes first"),
        ("es", "no coinciden en quién queda primero"),
    ],
)
def test_where_methods_disagree_the_sentence_says_which_has_whom_first(language, said) -> None:
    split = {"topsis": ["b"], "vikor": ["a", "b"], "promethee_ii": ["b"]}
    found = told({"a": 0.4, "b": 0.6}, language, first_by_method=split)
    assert said in found
    by = {"en": "b by TOPSIS and PROMETHEE II; a and b by VIKOR"}
    by["es"] = "b según TOPSIS y PROMETHEE II; a y b según VIKOR"
    assert by[language] in found
    agreed = {key: ["b"] for key in METHODS}
    assert said not in told({"a": 0.4, "b": 0.6}, language, first_by_method=agreed)


@pytest.mark.parametrize(
    "language, said",
    [
        ("en", "; most of the weight tells nothing apart. "),
        ("es", "; la mayor parte del peso no distingue nada. "),
    ],
)
def test_the_sentence_itself_says_where_most_of_the_weight_tells_nothing(language, said) -> None:
    for first in ({"a": 0.97, "b": 0.03}, {"a": 0.7, "b": 0.3}, {"a": 0.5, "b": 0.5}):
        for profile in (*shipped_profiles(), "our_hospital"):
            choice, found = (
                told(first, language, profile=profile, tells_nothing=share) for share in (0.5, 0.95)
            )
            assert said in found and said not in choice
            assert too_long(found) == []


@pytest.mark.parametrize("language, who", [("en", "By the"), ("es", "Según el")])
def test_a_profile_of_any_name_is_named_in_whole_words(language, who) -> None:
    found = told({"a": 0.97, "b": 0.03}, language, profile="other")
    assert found.startswith(who) and "other" in found and "{" not in found


def test_one_seed_is_said_where_a_probability_is_claimed_and_not_elsewhere() -> None:
    first, alone = {"a": 0.97, "b": 0.03}, {"a": [0], "b": [0]}
    assert "one seed alone" in told(first, seeds=alone)
    assert "one seed alone" not in told(first, seeds={"a": [0, 1], "b": [0, 1]})
    assert "seeds alone" not in told(first, seeds={"a": [0, 1, 2], "b": [0, 1, 2]})
    assert "one seed alone" not in told({}, seeds=alone)


@pytest.mark.parametrize(
    "seeds, english, spanish",
    [
        (
            {"a": [0, 1, 2], "b": [0], "c": [0, 1, 2]},
            "Measured with one seed alone, so chance between trainings is not in it: b.",
            "Medido con una sola semilla, de modo que no recoge el azar entre entrenamientos: b.",
        ),
        (
            {"a": [0, 1, 2], "b": [0, 1], "c": [2]},
            "is not in it: c. Measured with two seeds alone, so chance between trainings is hardly "
            "known: b. Not measured with every seed: b.",
            "entrenamientos: c. Medido con solo dos semillas, de modo que apenas se conoce el azar "
            "entre entrenamientos: b. Sin medir con todas las semillas: b.",
        ),
        (
            {"a": [0], "b": [1]},
            "is not in it. Not measured with every seed: a and b.",
            ". Sin medir con todas las semillas: a y b.",
        ),
        (
            {"a": [0, 1], "b": [0, 1]},
            "Measured with two seeds alone, so chance between trainings is hardly known.",
            "con solo dos semillas, de modo que apenas se conoce el azar entre entrenamientos.",
        ),
        (
            {"a": [0, 1, 2], "b": [0, 1, 2]},
            "draws of weights and measurements.",
            "pesos y medidas.",
        ),
    ],
)
def test_who_was_measured_with_fewer_seeds_is_named(seeds, english, spanish) -> None:
    first = {"a": 0.97, "b": 0.03}
    assert told(first, seeds=seeds).endswith(english)
    assert told(first, "es", seeds=seeds).endswith(spanish)


@pytest.mark.parametrize("language, said", [("en", "hardly tell it"), ("es", "apenas lo indican")])
def test_a_spread_of_two_runs_is_said_to_tell_hardly_anything(language, said) -> None:
    row = {"sandbox": "a", "criterion": "wall_seconds", "spread_from": "pooled", "over": ["b"]}
    first = {"a": 0.97, "b": 0.03}
    assert said in told(first, language, spreads=[row | {"degrees_of_freedom": 1}])
    assert said not in told(first, language, spreads=[row | {"degrees_of_freedom": 2}])
    of_own = row | {"spread_from": "seeds", "degrees_of_freedom": 1}  # of which the seeds are told
    assert said not in told(first, language, spreads=[of_own])


def test_no_share_of_draws_is_called_all_or_none() -> None:
    assert percent(1.0, "en") == "more than 99 %"
    assert percent(0.991, "es") == "más del 99 %"
    assert percent(0.0, "en") == "less than 1 %"
    assert percent(0.99, "en") == "99 %"


@pytest.mark.parametrize("language, holds", [("en", "It holds that"), ("es", "Se confirma que")])
def test_the_verdict_on_a_claim(language, holds) -> None:
    claim = {"group": "efficiency", "verdict": "holds", "strongest": "efficiency"}
    assert verdict(claim, language).startswith(holds)
    quality = words(language)["groups"]["quality"].lower()
    assert quality in verdict(claim | {"verdict": "refuted", "strongest": "quality"}, language)
    assert quality in verdict(claim | {"verdict": "open", "strongest": "quality"}, language)
    none = verdict(claim | {"verdict": "refuted", "strongest": None}, language)
    assert none.endswith(".") and quality not in none


def test_sandboxes_are_kept_out_by_their_reason() -> None:
    standings = {"a": "may_win", "b": "not_measured", "c": "broke_its_word", "d": "not_measured"}
    assert kept_out(standings) == {"not_measured": ["b", "d"], "broke_its_word": ["c"]}


def test_no_sentence_is_longer_than_a_reader_on_a_phone_likes() -> None:
    for language in LANGUAGES:
        for key, text in flat(words(language)):
            assert too_long(text) == [], key


def flat(entry: Any, path: str = "") -> Iterator[tuple[str, str]]:
    if isinstance(entry, dict):
        for key, value in entry.items():
            yield from flat(value, f"{path}.{key}")
    else:
        yield path, entry


def test_both_languages_have_the_same_words_with_the_same_gaps() -> None:
    of = {language: dict(flat(words(language))) for language in LANGUAGES}
    assert list(of["en"]) == list(of["es"])
    for key, text in of["en"].items():
        assert of["es"][key].strip(), key
        assert set(re.findall(r"{\w+}", text)) == set(re.findall(r"{\w+}", of["es"][key])), key


def test_everything_that_a_page_names_has_words() -> None:
    of = words("es")
    assert set(of["criteria"]) == {each.name for each in CRITERIA}
    assert set(of["units"]) == {each.unit for each in CRITERIA}
    assert set(of["groups"]) == set(GROUPS)
    assert set(of["methods"]) == {*METHODS, "all"}
    assert set(of["who"]) == set(shipped_profiles())
    assert set(STATUSES) <= set(of)
    assert set(of["standings"]) == set(STANDINGS)
    assert set(STANDINGS) - {MAY_WIN} <= set(of["caveats"])
    assert set(of["details"]) <= set(of["cautions"])


def test_on_whom_a_choice_rests_is_said_where_it_often_does() -> None:
    reversals = [
        {"left_out": "c", "winner_changes": 0.508},
        {"left_out": "d", "winner_changes": 0.2},
        {"left_out": "e", "winner_changes": None},
    ]
    first = {"a": 0.7, "b": 0.3}
    said = told(first, reversals=reversals)
    assert "Without c the winner changes in 51 % of the draws that others win." in said
    assert "Without d" not in said and "Without e" not in said
    spanish = told(first, "es", reversals=reversals)
    assert "Sin c, cambia el ganador en el 51 % de los sorteos que ganan otros." in spanish
