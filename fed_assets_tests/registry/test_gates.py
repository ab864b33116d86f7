from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from fed_assets.registry.comparison import Difference, Differences, difference_of, mean_difference
from fed_assets.registry.gate import GATES, Gate, Terms
from fed_assets.registry.gates import judge
from fed_assets.registry.version import ModelVersion
from fed_assets_tests.registry.versions import (
    CONTROLS,
    HOSPITALS,
    POSTURE,
    a_difference,
    a_version,
    differences,
    figures,
)

TERMS = Terms()
NO_BETTER = "does not show that it is better than a coin"


def judged(
    version: ModelVersion | None = None,
    champion: ModelVersion | None = None,
    found: Differences | None = None,
    posture: dict[str, Any] | None = POSTURE,
    terms: Terms = TERMS,
) -> dict[str, Gate]:
    gates = judge(version or a_version(2), champion, found, posture, terms)
    assert [gate.name for gate in gates] == list(GATES)
    return {gate.name: gate for gate in gates}


def compared(found: Differences, terms: Terms = TERMS) -> dict[str, Gate]:
    return judged(champion=a_version(1), found=found, terms=terms)


def test_a_first_version_has_nothing_to_be_compared_with_and_passes() -> None:
    gates = judged()
    assert all(gate.passed for gate in gates.values())
    for name in ("overall", "every_hospital", "same_data"):
        assert gates[name].said == "there is no champion to compare with"
    none = "nothing serves, and no version that served before sets a bar"
    assert gates["best_so_far"].said == none


@pytest.mark.parametrize("champion", [None, a_version(1)])
@pytest.mark.parametrize(
    ("test", "said"),
    [
        (
            {"value": 0.554, "low": 0.47, "high": 0.63},
            NO_BETTER,
        ),
        ({"value": 0.99, "low": 0.5, "high": 1.0}, NO_BETTER),
        ({"value": 0.99, "low": None, "high": None}, "without an interval"),
        ({"value": None, "low": None, "high": None}, "no AUROC was told on the common test set"),
    ],
)
def test_a_model_that_was_not_shown_to_be_better_than_a_coin_serves_nowhere(
    champion: ModelVersion | None, test: dict[str, Any], said: str
) -> None:
    coin = worth(test)
    gates = judged(coin, champion, differences(0.2))
    gate = gates["better_than_chance"]
    assert not gate.passed
    assert not gate.waivable
    assert said in gate.said
    assert gates["overall"].passed  # it is by this gate alone that it is kept out


def test_a_model_that_is_better_than_a_coin_passes_with_its_interval() -> None:
    gate = judged(worth({"value": 0.554, "low": 0.501, "high": 0.6}))["better_than_chance"]
    assert gate.passed
    assert gate.said == "AUROC is 0.5540 on the common test set (interval 0.5010 to 0.6000)"


def test_one_hospital_where_it_is_worse_than_a_coin_closes_the_gate() -> None:
    gate = judged(worth(figure(0.95), south=figure(0.49), east=figure(0.5)))["better_than_chance"]
    assert not gate.passed
    assert not gate.waivable
    assert gate.seen == 0.49
    assert "at south it is 0.4900, lower than 0.5" in gate.said
    assert "east" not in gate.said


def test_a_hospital_that_tells_no_figure_does_not_close_the_gate_of_chance() -> None:
    silent = {"value": None, "low": None, "high": None, "suppressed": True}
    assert judged(worth(figure(0.95), south=silent))["better_than_chance"].passed


def test_without_a_common_test_set_the_mean_of_the_hospitals_is_held_against_a_coin() -> None:
    wide = {"value": 0.6, "low": 0.2, "high": 1.0}
    of_all = dict.fromkeys(("north", "east", "south"), wide)
    gate = judged(worth({"value": None}, common_test_digest=None, **of_all))["better_than_chance"]
    assert not gate.passed
    assert "in the mean of 3 hospitals (there is no common test set)" in gate.said
    narrow = {"value": 0.6, "low": 0.55, "high": 0.65}
    sure = dict.fromkeys(("north", "east", "south"), narrow)
    assert judged(worth({}, common_test_digest=None, **sure))["better_than_chance"].passed


def answering(sensitivity: float | None, specificity: float | None, **changes: Any) -> ModelVersion:
    """Returns a version that ranks well, and answers so on the common test set."""
    told = figures(0.95, sensitivity=sensitivity, specificity=specificity)
    hospitals = {name: {"images": 9, **figures(0.9)} for name in HOSPITALS}
    evaluation = {"test": {"images": 40, **told}, "hospitals": hospitals}
    return a_version(2, evaluation=evaluation, **changes)


@pytest.mark.parametrize("champion", [None, a_version(1)])
def test_a_model_that_calls_everything_positive_is_closed_by_name_and_by_how_much(
    champion: ModelVersion | None,
) -> None:
    gates = judged(answering(1.0, 0.0, threshold=0.011), champion, differences(0.2))
    gate = gates["useful_threshold"]
    assert (gate.passed, gate.seen, gate.limit) == (False, 0.0, 0.1)
    assert gate.waivable
    assert gate.said == (
        "Youden's J is 0.0000 on the common test set, from the served threshold of 0.011 on "
        "(sensitivity 1.0000, specificity 0.0000); 0.1 is asked for, which it misses by 0.1000"
    )
    assert [name for name in gates if not gates[name].passed] == ["useful_threshold"]


@pytest.mark.parametrize(
    ("sensitivity", "least", "passed"),
    [(0.6, 0.1, True), (0.5999, 0.1, False), (0.5, 0.0, True), (0.4999, 0.0, False)],
)
def test_youdens_j_has_to_reach_what_the_roster_asks_for(
    sensitivity: float, least: float, passed: bool
) -> None:
    gates = judged(answering(sensitivity, 0.5), terms=Terms(least_youden=least))
    assert gates["useful_threshold"].passed is passed
    assert ("which it misses by 0.0001" in gates["useful_threshold"].said) is not passed


@pytest.mark.parametrize("rates", [(None, None), (1.0, None), (None, 1.0)])
def test_a_threshold_that_was_not_measured_was_not_shown_to_be_of_use(
    rates: tuple[float | None, float | None],
) -> None:
    gate = judged(answering(*rates))["useful_threshold"]
    assert (gate.passed, gate.seen, gate.waivable) == (False, None, True)
    assert gate.said == "no sensitivity and specificity were told on the common test set"


def test_without_a_common_test_set_the_hospitals_say_whether_the_threshold_is_of_use() -> None:
    def told(**hospitals: tuple[float | None, float | None]) -> Gate:
        tested = {
            name: figures(0.9, sensitivity=each[0], specificity=each[1])
            for name, each in hospitals.items()
        }
        evaluation = {"test": figures(0.9), "hospitals": tested}
        version = a_version(2, evaluation=evaluation, common_test_digest=None)
        return judged(version)["useful_threshold"]

    gate = told(north=(1.0, 0.0), east=(0.7, 0.7), south=(None, 1.0))
    assert (gate.passed, gate.seen) == (True, pytest.approx(0.2))
    assert "in the mean of 2 hospitals (there is no common test set)" in gate.said
    assert not told(north=(1.0, 0.0), east=(0.5, 0.6)).passed
    silent = told(north=(None, None))
    assert not silent.passed
    assert "no sensitivity and specificity were told in the mean of 0 hospitals" in silent.said


def test_of_several_classes_the_likeliest_is_the_answer_and_no_threshold_is_told() -> None:
    said = judged(answering(0.7, 0.9, classes=("a", "b", "c")))["useful_threshold"].said
    assert "Youden's J is 0.6000 on the common test set, as the likeliest class (" in said


def figure(auroc: float) -> dict[str, Any]:
    return {"value": auroc, "low": auroc, "high": auroc}


def worth(
    test: dict[str, Any], common_test_digest: str | None = "d" * 64, **hospitals: dict[str, Any]
) -> ModelVersion:
    """Returns a version of which AUROCs are told on the common test set and at hospitals."""
    tested = dict.fromkeys(("north", "east", "south"), figure(0.9)) | hospitals
    evaluation = {
        "test": {"images": 40, "auroc": test},
        "hospitals": {name: {"images": 9, "auroc": each} for name, each in tested.items()},
    }
    return a_version(2, evaluation=evaluation, common_test_digest=common_test_digest)


def test_the_champion_itself_is_not_held_against_itself() -> None:
    gates = judged(a_version(1), champion=a_version(1))
    assert gates["overall"].passed
    assert gates["overall"].said == "this version is the champion itself"


def test_a_champion_with_data_of_who_withdrew_is_no_measure() -> None:
    held = {1: "south withdrew on 2026-01-02 (moved)"}
    gates = judge(a_version(2), a_version(1), None, POSTURE, TERMS, no_bar=held)
    said = f"the champion, version 1, is no measure any more: {held[1]}"
    found = {gate.name: gate for gate in gates}
    for name in ("overall", "every_hospital"):
        assert found[name].passed
        assert found[name].said == said
    untested = a_version(2, absent={"west": "left out"})
    gates = judge(untested, a_version(1), None, POSTURE, TERMS, no_bar=held)
    (every,) = [gate for gate in gates if gate.name == "every_hospital"]
    assert not every.passed, "who did not test it keeps the gate closed all the same"


def test_a_version_that_was_not_compared_with_the_champion_is_kept_out() -> None:
    gates = judged(champion=a_version(1))
    assert not gates["overall"].passed
    assert not gates["every_hospital"].passed
    assert not gates["overall"].waivable
    assert "not compared with version 1" in gates["overall"].said


@pytest.mark.parametrize(
    ("value", "passed"), [(0.02, True), (0.0, True), (-0.01, True), (-0.0101, False)]
)
def test_overall_may_lose_the_margin_and_no_more(value: float, passed: bool) -> None:
    gate = compared(differences(value))["overall"]
    assert gate.passed is passed
    assert gate.seen == value
    assert gate.limit == -0.01
    assert not gate.waivable


def test_a_refusal_says_by_how_much_and_the_interval_of_the_images() -> None:
    said = compared(differences(-0.03))["overall"].said
    assert "AUROC is 0.0300 lower than that of version 1" in said
    assert "interval -0.0500 to -0.0100, 624 images" in said
    assert "0.01 is allowed, which it misses by 0.0200" in said


def test_what_passes_says_whether_the_interval_shows_it() -> None:
    unsure = compared(differences(0.0))["overall"].said
    assert "the interval does not show that no more is lost" in unsure
    sure = compared(differences(0.011))["overall"].said
    assert "the interval shows that no more is lost" in sure


def test_one_hospital_that_loses_too_much_closes_the_gate_however_much_the_others_gain() -> None:
    gate = compared(differences(0.05, north=0.3, east=-0.0712, south=0.2))["every_hospital"]
    assert not gate.passed
    assert not gate.waivable
    assert (gate.seen, gate.limit) == (-0.0712, -0.05)
    assert "lowest of 3 hospitals is east: AUROC is 0.0712 lower" in gate.said
    assert "misses by 0.0212" in gate.said


def test_every_hospital_that_loses_too_much_is_named() -> None:
    said = compared(differences(north=-0.2, east=-0.1))["every_hospital"].said
    assert "is north" in said
    assert "too low too: east" in said


@pytest.mark.parametrize(("value", "passed"), [(-0.05, True), (-0.0501, False)])
def test_a_hospital_may_lose_its_own_margin_and_no_more(value: float, passed: bool) -> None:
    assert compared(differences(east=value))["every_hospital"].passed is passed


def test_a_hospital_that_tells_nothing_was_not_shown_to_be_no_worse() -> None:
    gate = compared(differences(south="its counts are too small to be told"))["every_hospital"]
    assert not gate.passed
    assert gate.waivable
    assert "south tells nothing: its counts are too small to be told" in gate.said


def test_silence_of_one_does_not_open_the_gate_for_a_loss_at_another() -> None:
    gate = compared(differences(north=-0.2, south="it does not answer"))["every_hospital"]
    assert not gate.passed
    assert not gate.waivable


def test_no_hospital_at_all_is_no_proof() -> None:
    nobody = Differences({}, a_difference(0.0), has_common=True)
    assert not compared(nobody)["every_hospital"].passed


def test_a_common_test_set_that_tells_nothing_closes_the_gate() -> None:
    silent = replace(differences(), common="the process ended")
    gate = compared(silent)["overall"]
    assert not gate.passed
    assert gate.waivable
    assert "the process ended" in gate.said


def test_without_a_common_test_set_the_mean_over_hospitals_counts() -> None:
    found = replace(differences(north=-0.04, east=0.0, south=-0.02), common=None, has_common=False)
    gate = compared(found)["overall"]
    assert gate.seen == pytest.approx(-0.02)
    assert not gate.passed
    assert "in the mean of 3 hospitals (there is no common test set)" in gate.said


def test_without_any_figure_overall_is_closed() -> None:
    silent = Differences(dict.fromkeys(("north", "east"), "no"), None, has_common=False)
    assert not compared(silent)["overall"].passed


def test_margins_are_the_terms() -> None:
    wide = Terms(margin=0.2, hospital_margin=0.3)
    gates = compared(differences(-0.15, east=-0.25), terms=wide)
    assert gates["overall"].passed
    assert gates["every_hospital"].passed


@pytest.mark.parametrize(
    ("posture", "said"),
    [
        (None, "never attacked; run `fed-assets posture minimal`"),
        ({**POSTURE, "controls": {**CONTROLS, "transport": "clear"}}, "transport was clear and is"),
        (
            {**POSTURE, "keeps_its_word": False, "shortfalls": ["at_rest: level 1"]},
            "did not keep its word: at_rest: level 1",
        ),
    ],
)
def test_a_sandbox_that_did_not_keep_its_word_is_a_closed_gate(
    posture: dict[str, Any] | None, said: str
) -> None:
    gate = judged(posture=posture)["posture"]
    assert not gate.passed
    assert not gate.waivable
    assert said in gate.said
    assert judged(posture=posture, terms=Terms(require_posture=False))["posture"].passed


def test_a_sandbox_that_kept_its_word_is_not_said_to_have_withstood_everything() -> None:
    said = judged()["posture"].said
    assert "came to what its controls declare" in said
    assert "what none does may have succeeded" in said


def test_the_rule_that_a_roster_refines_is_not_held_against_the_attempts() -> None:
    refined = a_version(2, controls={**CONTROLS, "aggregation": "fedprox"})
    assert judged(refined)["posture"].passed


@pytest.mark.parametrize(
    ("spent", "said"),
    [
        ({"north": 8.5, "east": 1.0, "south": 2.0}, "north spent 8.50 of 8, 0.50 too much"),
        ({"north": 1.0, "east": None, "south": 1.0}, "east does not tell what it spent"),
        ({"north": 1.0, "east": 1.0}, "south does not tell what it spent"),
    ],
)
def test_a_budget_that_is_overspent_or_not_told_is_a_closed_gate(
    spent: dict[str, float | None], said: str
) -> None:
    gate = judged(a_version(2, epsilon=spent, epsilon_budget=8.0))["epsilon"]
    assert not gate.passed
    assert said in gate.said


def test_a_budget_that_is_kept_says_who_spent_most() -> None:
    spent = {"north": 8.0, "east": 1.0, "south": 2.0}
    gate = judged(a_version(2, epsilon=spent, epsilon_budget=8.0))["epsilon"]
    assert gate.passed
    assert gate.said == "north spent most: 8.00 of 8"
    assert "not differential" in judged()["epsilon"].said


def test_a_hospital_that_was_not_there_closes_the_quorum_until_a_person_opens_it() -> None:
    absent = {"west": "west was left out by the run's config"}
    gate = judged(a_version(2, absent=absent))["quorum"]
    assert not gate.passed
    assert gate.waivable
    assert (gate.seen, gate.limit) == (3, 4)
    assert "1 of 4 hospitals: west was left out" in gate.said


def test_a_hospital_that_missed_a_round_closes_the_quorum_too() -> None:
    gate = judged(a_version(2, absent={"east": "east was missing in round 2: it died"}))["quorum"]
    assert (gate.passed, gate.seen, gate.limit) == (False, 2, 3)


@pytest.mark.parametrize("champion", [None, a_version(1)])
def test_a_hospital_that_did_not_test_it_closes_its_gate_by_name(
    champion: ModelVersion | None,
) -> None:
    left_out = "west did not take part: left out by the run's config"
    gate = judged(a_version(2, absent={"west": left_out}), champion, differences())[
        "every_hospital"
    ]
    assert not gate.passed
    assert gate.waivable
    assert f"west did not test it: {left_out}" in gate.said
    missed = {"east": "east was missing in round 2: it died"}  # and tested it all the same
    assert judged(a_version(2, absent=missed), champion, differences())["every_hospital"].passed
    shortfall = {"the federation": "no round was finished"}
    assert judged(a_version(2, absent=shortfall), champion, differences())["every_hospital"].passed


def test_a_hospital_that_did_not_test_it_does_not_open_the_gate_for_a_loss_at_another() -> None:
    absent = {"west": "west did not take part: left out by the run's config"}
    gate = judged(a_version(2, absent=absent), a_version(1), differences(east=-0.2))
    assert not gate["every_hospital"].passed
    assert not gate["every_hospital"].waivable


@pytest.mark.parametrize(
    "change",
    [
        {"classes": ("pneumonia", "normal")},
        {"channels": 3},
        {"image_size": 64},
        {"network": {"_target_": "x", "n_input_channels": 3}},
    ],
)
def test_other_data_than_the_champions_are_not_compared(change: dict[str, Any]) -> None:
    gates = judged(a_version(2, **change), champion=a_version(1), found=differences(0.5))
    assert not gates["same_data"].passed
    assert not gates["overall"].passed
    assert not gates["every_hospital"].passed
    assert "in version 1" in gates["same_data"].said


def test_a_network_of_another_kind_may_be_compared() -> None:
    other = a_version(2, network={"_target_": "monai.networks.nets.DenseNet121"})
    assert judged(other, champion=a_version(1), found=differences())["same_data"].passed


def test_gates_come_back_from_their_records() -> None:
    for gate in judged().values():
        assert Gate.from_record(gate.as_record()) == gate


def test_a_mean_has_the_interval_that_the_hospitals_add_up_to() -> None:
    told = {"north": a_difference(0.1, half=0.03), "east": a_difference(-0.1, half=0.04)}
    mean = mean_difference(told, confidence=0.95)
    assert mean is not None
    assert mean.value == pytest.approx(0.0)
    assert mean.high == pytest.approx(0.05 / 2)
    assert mean.images == 52
    bare = mean_difference(told | {"south": Difference(0.0, None, None, None)}, confidence=0.95)
    assert bare == Difference(pytest.approx(0.0), None, None, None)
    assert mean_difference({}, confidence=0.95) is None


def test_what_a_hospital_answered_is_a_difference_or_why_there_is_none() -> None:
    def answer(images: Any = 26, **found: Any) -> dict[str, Any]:
        bounds = {"value": None, "low": None, "high": None}
        return {"images": images, "differences": {"auroc": bounds | found}}

    told = difference_of(answer(value=0.1, low=0.0, high=0.2), "auroc")
    assert told == Difference(0.1, 0.0, 0.2, 26)
    assert difference_of(answer("suppressed", value=0.1), "auroc") == Difference(
        0.1, None, None, None
    )
    assert difference_of(answer(suppressed=True), "auroc") == "its counts are too small to be told"
    assert "not defined" in str(difference_of(answer(), "auroc"))
