from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from fed_assets.comparison.batched import METHODS
from fed_assets.comparison.criteria import criteria_of
from fed_assets.comparison.criterion import Criterion
from fed_assets.comparison.deciding import claim, influence
from fed_assets.comparison.doubt import (
    Drawn,
    acceptability,
    drawn,
    first_shares,
    rank_probabilities,
    reversals,
    winners,
)
from fed_assets.comparison.ranking import Problem


def certain(values: Sequence[Sequence[float]], criteria: Sequence[Criterion], draws: int) -> Drawn:
    """Returns measurements that are in no doubt, of sandboxes a, b, c..."""
    array = np.array(values, dtype=float)
    problem = Problem(tuple("abcde"[: len(array)]), tuple(criteria), array)
    return drawn(problem, np.repeat(array[None], draws, axis=0))


def plain(count: int) -> list[Criterion]:
    """Returns criteria where any difference is a whole preference."""
    return [
        Criterion(
            name=f"c{index}",
            unit="",
            group="quality",
            higher_is_better=True,
            most=9.0,
            indifference=0.0,
            preference=1e-9,
        )
        for index in range(count)
    ]


def test_rank_acceptability_by_hand() -> None:
    # a before b before c; c before a and b, which tie; all three tie.
    of = np.array([[3.0, 2.0, 1.0], [1.0, 1.0, 2.0], [0.0, 0.0, 0.0]])
    third = 1 / 3
    assert acceptability(of) * 3 == pytest.approx(
        np.array(
            [
                [1 + third, 0.5 + third, 0.5 + third],
                [third, 1 + 0.5 + third, 0.5 + third],
                [1 + third, third, 1 + third],
            ]
        )
    )


def test_ranks_and_sandboxes_have_a_sum_of_1() -> None:
    of = np.random.default_rng(0).integers(0, 3, (200, 5)).astype(float)
    found = acceptability(of)
    assert found.sum(axis=0) == pytest.approx(np.ones(5))
    assert found.sum(axis=1) == pytest.approx(np.ones(5))


def test_first_ranks_are_shared_by_those_that_tie_and_methods_count_alike() -> None:
    first = np.array([[[True, False]], [[True, True]], [[False, True]]])  # three methods, one draw
    assert first_shares(first).tolist() == [[pytest.approx(0.5), pytest.approx(0.5)]]


def test_one_that_is_better_in_all_is_first_for_certain() -> None:
    of = certain([[1, 1], [3, 2], [2, 1.5]], plain(2), draws=100)
    weights = np.random.default_rng(0).dirichlet(np.ones(2), 100)
    found = rank_probabilities(of, weights)
    assert list(found) == [*METHODS, "all"]
    for by_sandbox in found.values():
        assert by_sandbox == {"a": [0.0, 0.0, 1.0], "b": [1.0, 0.0, 0.0], "c": [0.0, 1.0, 0.0]}


def test_the_share_of_weights_that_prefer_one_is_its_probability() -> None:
    # Two criteria, each with another best: the one of which the weight is above a half wins.
    of = certain([[1, 0], [0, 1]], plain(2), draws=20_000)
    weights = np.random.default_rng(0).dirichlet([6, 2], 20_000)
    shares = first_shares(winners(of.parts, weights)).mean(axis=0)
    assert shares[0] == pytest.approx((weights[:, 0] > 0.5).mean())


def test_a_rank_reversal_by_hand() -> None:
    # PROMETHEE II with weights 0.4 and 0.6: b is preferred to a by 0.6 to 0.4. With c, which a
    # beats in both and b in the second alone, the net flows are a 0.4, b 0.2 and c -0.6.
    of = certain([[3, 2], [1, 3], [2, 1]], plain(2), draws=10)
    weights = np.tile([0.4, 0.6], (10, 1))
    found = {
        row["left_out"]: row for row in reversals(of, weights, plain_weights={"c0": 0.4, "c1": 0.6})
    }
    assert found["c"]["methods"]["promethee_ii"] == {"swapped": [["b", "a"]], "tau": -1.0}
    assert found["a"]["methods"]["promethee_ii"]["swapped"] == []
    assert found["a"]["methods"]["promethee_ii"]["tau"] == 1.0
    # Only draws that another than the left-out one had won count.
    first = winners(of.parts, weights)
    assert first[METHODS.index("promethee_ii"), :, 0].all()
    assert 0 < found["c"]["winner_changes"] <= 1


def test_leaving_out_one_that_wins_always_says_nothing_of_the_winner() -> None:
    of = certain([[3, 3], [2, 2], [1, 1]], plain(2), draws=10)
    weights = np.tile([0.5, 0.5], (10, 1))
    found = reversals(of, weights, plain_weights={"c0": 0.5, "c1": 0.5})
    assert [row["winner_changes"] for row in found] == [None, 0.0, 0.0]


def test_of_two_sandboxes_none_can_be_left_out() -> None:
    of = certain([[3, 3], [2, 2]], plain(2), draws=10)
    assert reversals(of, np.full((10, 2), 0.5), plain_weights={"c0": 1, "c1": 1}) == []


SECONDS_AND_AUROC = criteria_of(["wall_seconds", "auroc"])


def influence_of(values: Sequence[Sequence[float]], alpha: Sequence[float], choice: str) -> dict:
    of = certain(values, SECONDS_AND_AUROC, draws=4000)
    weights = np.random.default_rng(0).dirichlet(alpha, 4000)
    return influence(of, weights, choice=choice)


def test_what_decides_changes_the_winner_when_it_is_left_out() -> None:
    # a is fast, b is good; time weighs nine tenths: without it b wins, without AUROC still a.
    found = influence_of([[10, 0.90], [100, 0.95]], [90, 10], "a")
    groups = {row["name"]: row["changes_winner"]["value"] for row in found["groups"]}
    assert groups["efficiency"] > 0.95 and groups["quality"] < 0.05
    assert claim(found["groups"]) == {
        "group": "efficiency",
        "verdict": "holds",
        "strongest": "efficiency",
    }
    assert [row["name"] for row in found["criteria"]] == ["wall_seconds", "auroc"]


def test_the_claim_is_refuted_where_another_group_decides() -> None:
    found = influence_of([[10, 0.70], [11, 0.95]], [10, 90], "b")
    assert claim(found["groups"])["verdict"] == "refuted"
    assert claim(found["groups"])["strongest"] == "quality"


def test_the_claim_is_refuted_where_nothing_decides() -> None:
    found = influence_of([[10, 0.95], [100, 0.90]], [50, 50], "a")
    assert all(row["changes_winner"]["value"] == 0 for row in found["groups"])
    assert claim(found["groups"]) == {
        "group": "efficiency",
        "verdict": "refuted",
        "strongest": None,
    }
    assert all(row["correlation"] is None for row in found["criteria"])  # a wins always
    assert claim([])["verdict"] == "refuted"


@pytest.mark.parametrize("ahead", ["efficiency", "quality"])
def test_the_claim_is_open_where_the_draws_do_not_tell_and_it_is_another_that_is_as_strong(
    ahead: str,
) -> None:
    share = {"value": 0.30, "low": 0.28, "high": 0.32}
    near = {"value": 0.31, "low": 0.29, "high": 0.33}
    rows = [
        {"name": name, "changes_winner": near if name == ahead else share}
        for name in ("efficiency", "quality")
    ]
    assert claim(rows) == {"group": "efficiency", "verdict": "open", "strongest": "quality"}


def test_a_choice_wins_more_often_the_more_its_strength_weighs() -> None:
    found = influence_of([[10, 0.90], [12, 0.95]], [5, 5], "a")
    correlation = {row["name"]: row["correlation"] for row in found["criteria"]}
    assert correlation["wall_seconds"] > 0.4
    assert correlation["auroc"] == pytest.approx(-correlation["wall_seconds"])


def test_an_interval_of_a_share_holds_it() -> None:
    found = influence_of([[10, 0.90], [12, 0.95]], [5, 5], "a")
    for row in [*found["groups"], *found["criteria"]]:
        share = row["changes_winner"]
        assert 0 <= share["low"] <= share["value"] <= share["high"] <= 1
