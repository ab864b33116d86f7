from __future__ import annotations

from dataclasses import replace
from itertools import combinations
from typing import Any

import numpy as np
import pytest
from scipy import stats

from fed_assets.comparison.batched import METHODS, parts, spread
from fed_assets.comparison.batched import scores as batched_scores
from fed_assets.comparison.by_chance import told_by_chance
from fed_assets.comparison.comparison import Comparison, compare
from fed_assets.comparison.criteria import criteria_of
from fed_assets.comparison.matrix import sandbox_cells
from fed_assets.comparison.profiles import profiles_from
from fed_assets.comparison.ranking import Problem, problem_of, ranks, scores
from fed_assets.comparison.settings import Settings
from fed_assets_tests.comparison.conftest import SANDBOXES, with_resamples
from fed_assets_tests.sentences import said_of

ATTACKED = "membership_advantage"
BY_ATTACK = profiles_from(
    {
        "mine": {
            "groups": {"security": 9, "efficiency": 1},
            "criteria": {"security": {ATTACKED: 1}, "efficiency": {"wall_seconds": 1}},
        }
    },
    where="mine.yaml",
)


def told(records: list[dict]) -> Problem:
    names = dict.fromkeys(each["sandbox"] for each in records)
    cells = {
        name: sandbox_cells([each for each in records if each["sandbox"] == name]) for name in names
    }
    return told_by_chance(problem_of(cells), cells)


def apart(records: list[dict], name: str = ATTACKED) -> set[tuple[str, str]]:
    """Returns the pairs of sandboxes that are apart in a criterion."""
    of = told(records)
    assert of.apart is not None
    column = [each.name for each in of.criteria].index(name)
    assert of.criteria[column].pairs_apart == of.apart[:, :, column].sum() / 2
    return {
        (of.sandboxes[one], of.sandboxes[other])
        for one, other in np.argwhere(of.apart[:, :, column]).tolist()
        if one < other
    }


def attacked(measured, values: list[float], half_width: float) -> list[dict]:
    return [
        measured(
            sandbox,
            security__membership_advantage={
                "value": value,
                "low": value - half_width,
                "high": value + half_width,
            },
        )
        for sandbox, value in zip(SANDBOXES, values, strict=False)
    ]


def compared(records: list[dict]) -> Comparison:
    settings = Settings(draws=400)
    return compare(records, sandboxes=SANDBOXES, profiles=BY_ATTACK, settings=settings)


def normalized(comparison: Comparison, name: str = ATTACKED) -> list[float]:
    return [each["normalized"] for each in comparison.decision if each["criterion"] == name]


@pytest.mark.parametrize("count", [2, 5])
def test_a_pair_is_apart_from_the_difference_that_its_interval_reaches(measured, count) -> None:
    pairs = count * (count - 1) / 2
    deviation = 0.02 / stats.norm.ppf(0.975) * np.sqrt(2)
    reach = stats.norm.ppf(1 - 0.05 / pairs / 2) * deviation
    others = [0.5, 0.5, 0.5][: count - 2]
    for further, found in ((0.9, set()), (1.1, {("eyes_on", "minimal")})):
        pair = attacked(measured, [0.5 - reach * further / 2, 0.5 + reach * further / 2], 0.02)
        rest = attacked(measured, [0.0, 0.0, *others], 0.02)[2:]
        assert apart([*pair, *rest]) == found


def test_of_alike_sandboxes_chance_takes_any_for_different_in_five_of_a_hundred(measured) -> None:
    random, taken = np.random.default_rng(3), 0
    criteria = ("auroc", "accuracy", "f1", "calibration_error", ATTACKED)
    for _ in range(20):
        runs = attacked(measured, list(random.normal(0.5, 0.02, 5)), 1.96 * 0.02)
        for each in runs:
            for name in criteria[:-1]:
                value = random.normal(0.5, 0.02)
                each["quality"][name] = {"value": value, "low": value - 0.0392}
                each["quality"][name]["high"] = value + 0.0392
        taken += sum(each.pairs_apart > 0 for each in told(runs).criteria if each.name in criteria)
    assert taken <= 10  # of 100, where 5 are to be expected: one in a hundred such sets has more


def test_what_is_exact_is_apart_wherever_it_differs_and_what_is_paired_more_often(
    measured, five
) -> None:
    for each in told(five).criteria:
        if each.exact:
            column = [of.name for of in told(five).criteria].index(each.name)
            values = told(five).filled[:, column].tolist()
            pairs = [one != other for one, other in combinations(values, 2)]
            assert each.pairs_apart == sum(pairs), each.name
    two = five[:2]
    two[1]["quality"]["auroc"] = {"value": 0.966, "low": 0.956, "high": 0.976}
    assert apart(two, "auroc") == set()
    assert apart(list(map(with_resamples, two)), "auroc") == {("eyes_on", "minimal")}
    twins = [measured(model={"weights": "the same"}), measured(model={"weights": "the same"})]
    twins[1]["sandbox"] = "eyes_on"
    assert apart(twins, "auroc") == set()


def test_one_sandbox_alone_is_told_apart_from_nobody(measured) -> None:
    assert {each.pairs_apart for each in told([measured()]).criteria} == {None}


def timed(measured, **seconds: list[float]) -> list[dict]:
    """Returns runs of sandboxes with the wall times of their seeds."""
    return [
        measured(sandbox, seed, efficiency__wall_seconds=value)
        for sandbox, values in seconds.items()
        for seed, value in enumerate(values)
    ]


def test_a_noisy_second_seed_of_one_leaves_known_differences_of_others(measured) -> None:
    one = {
        "eyes_off": [54.3, 53.1, 55.2],
        "confidential_vm": [140.3, 139.0, 142.0],
        "eyes_on": [72.0, 68.0, 76.0],
    }
    others = {("confidential_vm", "eyes_off"), ("confidential_vm", "eyes_on")}
    once = timed(measured, minimal=[55.0], **one)
    assert apart(once, "wall_seconds") == others | {("confidential_vm", "minimal")}
    again = timed(measured, minimal=[55.0, 80.9], **one)
    assert apart(again, "wall_seconds") == others
    for runs in (once, again):
        found = compared(runs)
        assert "wall_seconds" not in found.left_out["by_chance"]
        of = {
            row["sandbox"]: row["normalized"]
            for row in found.decision
            if row["criterion"] == "wall_seconds"
        }
        assert (of["eyes_off"], of["confidential_vm"]) == (1.0, 0.0)
        for rows in found.profiles["mine"]["ranking"].values():
            assert rows[0]["sandbox"] == "eyes_off" and rows[-1]["sandbox"] == "confidential_vm"
    # No pair is apart where all that is left of known differences is the noisy one's.
    alone = timed(measured, minimal=[55.0, 180.9], eyes_off=[54.3], eyes_on=[56.0])
    assert "wall_seconds" in compared(alone).left_out["by_chance"]


def test_what_others_seeds_show_is_neither_less_nor_more_doubtful_than_they_can_tell(
    measured,
) -> None:
    far = {"eyes_off": [54.3], "confidential_vm": [140.3]}
    pair = {("confidential_vm", "eyes_off")}
    # By the assumption they are apart; two runs of one sandbox that differ by a third say nothing.
    assert apart(timed(measured, **far), "wall_seconds") == pair
    noisy = timed(measured, minimal=[55.0, 80.9], **far)
    assert apart(noisy, "wall_seconds") == set()
    calm = timed(measured, minimal=[55.0, 57.0, 54.0, 55.5, 56.0], **far)
    assert pair < apart(calm, "wall_seconds")
    # What the assumption could not tell apart, several calm seeds can.
    near = {"eyes_off": [54.3], "confidential_vm": [66.0]}
    assert apart(timed(measured, **near), "wall_seconds") == set()
    calm = timed(measured, minimal=[55.0, 55.4, 54.8, 55.1, 55.2], **near)
    assert pair < apart(calm, "wall_seconds")
    # One that broke its word may not win, and its machine's doing is measured all the same.
    for each in calm[:5]:
        each["security"]["keeps_its_word"] = False
    rows = [row for row in compared(calm).spreads if row["criterion"] == "wall_seconds"]
    assert {row["sandbox"] for row in rows} == {"confidential_vm", "eyes_off"}
    assert {(row["spread_from"], *row["over"]) for row in rows} == {("pooled", "minimal")}


def test_what_is_apart_without_a_sandbox_is_asked_of_the_rest(measured) -> None:
    of = told(timed(measured, minimal=[55.0], eyes_off=[58.0], confidential_vm=[140.0]))
    assert "wall_seconds" not in of.constant()
    assert "wall_seconds" in of.without("confidential_vm").constant()
    assert "wall_seconds" not in of.without("minimal").constant()


def test_a_spread_that_the_intervals_do_not_support_decides_no_ranking(measured) -> None:
    # All within their intervals of zero, and further apart than 0.01: minimal is the fastest.
    found = compared(attacked(measured, [0.02, 0.0, 0.012, 0.004, 0.008], 0.03))
    assert ATTACKED in found.left_out["by_chance"]
    assert ATTACKED not in found.left_out["constant"]
    assert normalized(found) == [1.0] * 5
    for rows in found.profiles["mine"]["ranking"].values():
        assert rows[0]["sandbox"] == "minimal" and rows[0]["rank"] == 1
    # As far apart, and measured well enough to say so: eyes_on leaks the least.
    sure = compared(attacked(measured, [0.02, 0.0, 0.012, 0.004, 0.008], 0.001))
    assert ATTACKED not in sure.left_out["by_chance"]
    assert normalized(sure) == pytest.approx([0.0, 1.0, 0.4, 0.8, 0.6])
    for rows in sure.profiles["mine"]["ranking"].values():
        assert rows[0]["sandbox"] == "eyes_on"


def test_what_is_ranked_does_not_depend_on_the_draws_of_the_comparison(measured) -> None:
    runs = attacked(measured, [0.05, 0.0, 0.012, 0.004, 0.008], 0.02)
    once, other = (
        compare(
            runs, sandboxes=SANDBOXES, profiles=BY_ATTACK, settings=Settings(draws=200, seed=seed)
        )
        for seed in (0, 1)
    )
    assert once.criteria == other.criteria and once.decision == other.decision
    assert once.profiles["mine"]["ranking"] == other.profiles["mine"]["ranking"]
    assert once.profiles["mine"]["first"] != other.profiles["mine"]["first"]


def a_criterion(name: str, **changes: Any) -> Any:
    return replace(criteria_of([name])[0], **changes)


@pytest.mark.parametrize("method", METHODS)
def test_what_no_pair_is_apart_in_counts_in_no_method_and_one_by_one_as_in_many(method) -> None:
    of = [a_criterion(ATTACKED, pairs_apart=0), a_criterion("wall_seconds", pairs_apart=1)]
    values = np.array([[0.2, 60.0], [0.01, 70.0], [0.03, 80.0]])
    weights = np.array([0.9, 0.1])
    assert spread(values[None], of)[0].tolist() == [0.0, 20.0]
    assert ranks(scores(method, values, weights, of)) == [1, 2, 3]
    of[0] = replace(of[0], pairs_apart=1)
    found = scores(method, values, weights, of)
    assert ranks(found) == [3, 1, 2]
    assert found == pytest.approx(batched_scores(parts(method, values[None], of), weights)[0])


def test_who_cannot_win_is_the_worst_where_its_interval_is_beyond_all_others(measured) -> None:
    for value, shown in ((0.05, 1.0), (0.4, 0.0)):
        runs = attacked(measured, [0.02, 0.0, 0.012, 0.004, value], 0.03)
        runs[-1]["security"]["keeps_its_word"] = False
        assert normalized(compared(runs)) == [1.0, 1.0, 1.0, 1.0, shown]


def test_more_than_half_of_a_weight_that_tells_nothing_is_said(measured) -> None:
    runs = attacked(measured, [0.02, 0.0, 0.012, 0.004, 0.008], 0.03)
    of = compared(runs).profiles["mine"]
    nothing = dict.fromkeys(of["weights"], 0.0)
    plain = nothing | {"wall_seconds": 0.1, ATTACKED: 0.9}
    assert of["weights"] == pytest.approx(plain)
    assert of["used_weights"] == pytest.approx(nothing | {"wall_seconds": 1.0})
    assert of["tells_nothing"] == pytest.approx(0.9)
    assert "; most of the weight tells nothing apart. " in of["sentence"]["en"]
    assert "Of this profile's weight 90 % tells nothing apart" in said_of(of)
    assert "Del peso de este perfil, el 90 % no distingue nada" in said_of(of, "es")
    known = compared(attacked(measured, [0.02, 0.0, 0.012, 0.004, 0.008], 0.001)).profiles["mine"]
    assert known["used_weights"] == pytest.approx(known["weights"])
    assert "tells nothing apart" not in said_of(known)
    alone = compare(runs[:1], sandboxes=SANDBOXES[:1], profiles=BY_ATTACK).profiles["mine"]
    assert set(alone["used_weights"].values()) == {None} and alone["tells_nothing"] is None
