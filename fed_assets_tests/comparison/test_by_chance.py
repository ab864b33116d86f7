from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from scipy import stats

from fed_assets.comparison.batched import METHODS, PROMETHEE_II, parts, spread, thresholds
from fed_assets.comparison.batched import scores as batched_scores
from fed_assets.comparison.by_chance import told_by_chance
from fed_assets.comparison.comparison import Comparison, compare
from fed_assets.comparison.criteria import criteria_of
from fed_assets.comparison.matrix import sandbox_cells
from fed_assets.comparison.profiles import profiles_from
from fed_assets.comparison.ranking import Problem, problem_of, ranks, scores
from fed_assets.comparison.settings import Settings
from fed_assets_tests.comparison.conftest import SANDBOXES, with_resamples

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
    cells = {each["sandbox"]: sandbox_cells([each]) for each in records}
    return told_by_chance(problem_of(cells), cells)


def chances(records: list[dict]) -> dict[str, float]:
    return {each.name: each.chance for each in told(records).criteria}


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
def test_chance_is_the_studentized_range_of_that_many_alike(measured, count) -> None:
    found = chances(attacked(measured, [0.3, 0.4, 0.5, 0.6, 0.7][:count], 0.05))
    published = stats.studentized_range.ppf(0.95, count, np.inf) * 0.05 / stats.norm.ppf(0.975)
    assert found[ATTACKED] == pytest.approx(published, rel=0.04)


def test_what_is_exact_has_no_chance_and_what_is_paired_has_less(measured, five) -> None:
    alone, paired = chances(five), chances(list(map(with_resamples, five)))
    for each in told(five).criteria:
        assert (each.chance == 0) == each.exact, each.name
    assert paired["auroc"] < alone["auroc"] / 2
    twins = [measured(model={"weights": "the same"}), measured(model={"weights": "the same"})]
    twins[1]["sandbox"] = "eyes_on"
    assert chances(twins)["auroc"] == 0.0 < chances(twins)["wall_seconds"]


def test_one_sandbox_alone_is_told_apart_from_nobody(measured) -> None:
    assert set(chances([measured()]).values()) == {0.0}


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
def test_a_spread_up_to_chance_counts_in_no_method_and_one_by_one_as_in_many(method) -> None:
    of = [a_criterion(ATTACKED, chance=0.05), a_criterion("wall_seconds", chance=3.0)]
    values = np.array([[0.05, 60.0], [0.01, 70.0], [0.03, 80.0]])
    weights = np.array([0.9, 0.1])
    assert spread(values[None], of)[0].tolist() == [0.0, 20.0]
    assert ranks(scores(method, values, weights, of)) == [1, 2, 3]
    values[0, 0] = 0.2
    found = scores(method, values, weights, of)
    assert ranks(found) == [3, 1, 2]
    assert found == pytest.approx(batched_scores(parts(method, values[None], of), weights)[0])


def test_preference_begins_beyond_chance_and_is_whole_as_far_from_there_as_before() -> None:
    of = [a_criterion(ATTACKED, chance=0.05), a_criterion("auroc", chance=0.001)]
    seconds = a_criterion("wall_seconds", chance=50.0)  # the slowest's: it hides no other's
    indifference, preference = thresholds(np.full((1, 2, 3), 100.0), [*of, seconds])
    assert indifference[0] == pytest.approx([0.05, 0.005, 5.0])
    assert preference[0] == pytest.approx([0.14, 0.05, 50.0])
    pair = np.array([[0.095, 0.9], [0.0, 0.9]])  # halfway between the two
    assert scores(PROMETHEE_II, pair, np.array([1.0, 0.0]), of) == pytest.approx([-0.5, 0.5])
