from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from fed_assets.comparison.batched import METHODS, PROMETHEE_II, TOPSIS, VIKOR, parts
from fed_assets.comparison.batched import scores as batched_scores
from fed_assets.comparison.criteria import OF_SANDBOXES, criteria_of
from fed_assets.comparison.criterion import Criterion
from fed_assets.comparison.matrix import sandbox_cells
from fed_assets.comparison.ranking import (
    AUDITED_OTHERWISE,
    BROKE_ITS_WORD,
    MAY_WIN,
    NOT_AUDITED,
    NOT_MEASURED,
    Problem,
    first_by_method,
    problem_of,
    rank,
    ranks,
    scores,
    standing,
)


def criteria(count: int, *, higher: Sequence[bool] | None = None, **more) -> list[Criterion]:
    return [
        Criterion(
            name=f"c{index}",
            unit="",
            group="quality",
            higher_is_better=higher[index] if higher else True,
            **{"most": 1e6, "indifference": 0.0, "preference": 1e-6} | more,
        )
        for index in range(count)
    ]


# Papathanasiou and Ploskas 2018, Multiple Criteria Decision Aid (Springer), chapters 1 to 3: the
# location of a facility, by four criteria that all want to be high.
FACILITIES = np.array(
    [[8, 7, 2, 1], [5, 3, 7, 5], [7, 5, 6, 4], [9, 9, 7, 3], [11, 10, 3, 7], [6, 9, 5, 4]],
    dtype=float,
)
WEIGHTS = np.array([0.4, 0.3, 0.1, 0.2])


@pytest.mark.parametrize(
    "method, published, decimals",
    [
        (TOPSIS, [0.387, 0.327, 0.391, 0.615, 0.868, 0.493], 3),
        (VIKOR, [0.640, 1.000, 0.693, 0.271, 0.000, 0.694], 3),  # Q, lower is better
        (PROMETHEE_II, [-0.26, -0.52, -0.22, 0.36, 0.70, -0.06], 2),
    ],
)
def test_the_published_example_comes_out_as_published(method, published, decimals) -> None:
    of = criteria(4, indifference=1.0, preference=2.0)
    v = {"group_utility": 0.625}  # the chapter's (n + 1) / 2n
    weights = WEIGHTS
    if method == TOPSIS:
        # The chapter divides each column by its length, where ours are stretched over what was
        # measured: with weights that make up for that, one has to come to the other's scores.
        weights = WEIGHTS * np.ptp(FACILITIES, axis=0) / np.linalg.norm(FACILITIES, axis=0)
        weights /= weights.sum()
    found = scores(method, FACILITIES, weights, of, **v)
    many = batched_scores(parts(method, FACILITIES[None], of), weights, **v)[0]
    sign = -1 if method == VIKOR else 1
    assert np.round(sign * found, decimals).tolist() == published
    assert np.round(sign * many, decimals).tolist() == published


def test_two_sandboxes_by_hand() -> None:
    # Seconds 3 and 4 (lower is better) and levels 2 and 1, weighed alike.
    values, half = np.array([[3.0, 2.0], [4.0, 1.0]]), np.array([0.5, 0.5])
    of = criteria(2, higher=[False, True], preference=1.0)
    # The first is ideal in both, the second worst in both.
    assert scores(TOPSIS, values, half, of).tolist() == [1.0, 0.0]
    assert scores(VIKOR, values, half, of).tolist() == [0.0, -1.0]
    assert scores(PROMETHEE_II, values, half, of).tolist() == [1.0, -1.0]


def test_three_sandboxes_by_hand() -> None:
    values, weights = np.array([[0.0, 4.0], [2.0, 2.0], [4.0, 0.0]]), np.array([0.75, 0.25])
    of = criteria(2, preference=4.0)
    # TOPSIS: both columns are stretched to 0, 1/2 and 1; distances by the weights 0.75 and 0.25.
    to_best = np.hypot([3, 1.5, 0], [0, 0.5, 1])
    to_worst = np.hypot([0, 1.5, 3], [1, 0.5, 0])
    assert scores(TOPSIS, values, weights, of) == pytest.approx(to_worst / (to_best + to_worst))
    # VIKOR: S = 0.75, 0.5, 0.25 and R = 0.75, 0.375, 0.25.
    assert scores(VIKOR, values, weights, of) == pytest.approx([-1.0, -(0.25 + 0.125), 0.0])
    # PROMETHEE II: preferences of half for 2 and whole for 4; net flows (-3/4, 0, 3/4) per unit.
    assert scores(PROMETHEE_II, values, weights, of) == pytest.approx([-0.375, 0.0, 0.375])


@pytest.mark.parametrize("method", METHODS)
def test_many_at_once_come_to_what_pymcdm_says_of_each(method) -> None:
    generator = np.random.default_rng(7)
    for n, m in ((2, 1), (2, 6), (3, 4), (5, len(OF_SANDBOXES))):
        of = OF_SANDBOXES[:m]
        values = generator.random((20, n, m))
        values[3, :, 0] = 0.5  # constant
        values[4, :, m - 1] = 0.0
        weights = generator.dirichlet(np.ones(m), 20)
        many = batched_scores(parts(method, values, of), weights)
        for draw in range(20):
            one = scores(method, values[draw], weights[draw], of)
            assert ranks(one) == ranks(many[draw]), (n, m, draw)
            if np.ptp(values[draw], axis=0).all():  # else weights are shared otherwise
                assert one == pytest.approx(many[draw], abs=1e-9)


@pytest.mark.parametrize("method", METHODS)
def test_criteria_that_are_alike_everywhere_change_nothing(method) -> None:
    of = criteria(3)
    values = np.array([[1.0, 5.0, 3.0], [2.0, 5.0, 1.0], [3.0, 5.0, 1.5]])
    weights = np.array([0.3, 0.4, 0.3])
    without = scores(method, values[:, [0, 2]], np.array([0.5, 0.5]), of[:2])
    assert scores(method, values, weights, of) == pytest.approx(without)


@pytest.mark.parametrize("method", METHODS)
def test_sandboxes_that_are_alike_in_all_tie(method) -> None:
    values = np.full((4, 3), 0.1) + np.array([0.0, 0.2, 0.0])
    values[2] += 1e-17  # what floating point makes of equal means
    assert ranks(scores(method, values, np.ones(3) / 3, criteria(3))) == [1, 1, 1, 1]
    many = batched_scores(parts(method, values[None], criteria(3)), np.ones(3) / 3)[0]
    assert ranks(many) == [1, 1, 1, 1]


@pytest.mark.parametrize("method", METHODS)
def test_one_sandbox_alone_is_first(method) -> None:
    assert ranks(scores(method, np.array([[1.0, 2.0]]), np.array([0.5, 0.5]), criteria(2))) == [1]


@pytest.mark.parametrize("method", METHODS)
def test_mirrored_sandboxes_tie(method) -> None:
    # One utility and one regret for both: VIKOR's Q is 0 / 0, and says that neither is better.
    mirrored = np.array([[1.0, 2.0], [2.0, 1.0]])
    assert ranks(scores(method, mirrored, np.array([0.5, 0.5]), criteria(2))) == [1, 1]


def test_vikor_with_one_utility_for_all_goes_by_the_worst_regret() -> None:
    # S = 0.5 for all; R = 0.5, 0.25 and 0.5.
    values = np.array([[0.0, 2.0], [1.0, 1.0], [2.0, 0.0]])
    assert scores(VIKOR, values, np.array([0.5, 0.5]), criteria(2)).tolist() == [-0.5, 0.0, -0.5]


@pytest.mark.parametrize("method", METHODS)
def test_the_unit_of_a_criterion_does_not_matter(method) -> None:
    generator = np.random.default_rng(3)
    of = criteria(
        4, higher=[True, False, False, True], most=np.inf, indifference=0.05, preference=0.5
    )
    for _ in range(20):
        values = generator.random((5, 4)) + 0.1
        weights = generator.dirichlet(np.ones(4))
        in_other_units = values * np.array([1000.0, 0.001, 60.0, 8.0])
        assert scores(method, values, weights, of) == pytest.approx(
            scores(method, in_other_units, weights, of)
        )


@pytest.mark.parametrize("method", METHODS)
def test_the_order_of_sandboxes_and_criteria_does_not_matter(method) -> None:
    generator = np.random.default_rng(4)
    of = criteria(5, higher=[True, False, True, False, True])
    for _ in range(20):
        values, weights = generator.random((5, 5)), generator.dirichlet(np.ones(5))
        rows, columns = generator.permutation(5), generator.permutation(5)
        turned = scores(
            method, values[rows][:, columns], weights[columns], [of[c] for c in columns]
        )
        assert turned == pytest.approx(scores(method, values, weights, of)[rows])


@pytest.mark.parametrize("method", METHODS)
def test_one_that_is_worse_in_all_never_ranks_above(method) -> None:
    generator = np.random.default_rng(5)
    higher = [True, False, True, False]
    of = criteria(4, higher=higher)
    for _ in range(50):
        values = generator.random((5, 4))
        values[3] = values[1] - np.where(higher, 1, -1) * generator.random(4) * [1, 0, 1, 1]
        places = ranks(scores(method, values, generator.dirichlet(np.ones(4)), of))
        assert places[1] < places[3]


def test_an_unknown_method_is_named() -> None:
    with pytest.raises(ValueError, match="There is no method electre; there are topsis, vikor"):
        scores("electre", np.array([[1.0], [2.0]]), np.ones(1), criteria(1))


@pytest.mark.parametrize(
    "measured, word, audit, allow, expected",
    [
        (True, True, "made", False, MAY_WIN),
        (True, False, "made", False, BROKE_ITS_WORD),
        (True, False, "made", True, BROKE_ITS_WORD),
        (True, None, "none", False, NOT_AUDITED),
        (True, None, "of_other_controls", False, AUDITED_OTHERWISE),
        (True, None, "none", True, MAY_WIN),
        (True, None, "of_other_controls", True, MAY_WIN),
        (False, None, "none", True, NOT_MEASURED),
    ],
)
def test_who_may_win(measured, word, audit, allow, expected) -> None:
    found = standing(measured=measured, keeps_its_word=word, audit=audit, allow_unaudited=allow)
    assert found == expected


def problem(values: Sequence[Sequence[float]], **more) -> Problem:
    array = np.array(values)
    return Problem(tuple("abcde"[: len(array)]), tuple(criteria(array.shape[1], **more)), array)


def test_a_gap_counts_as_the_worst_that_was_measured_and_is_told() -> None:
    of = problem([[1.0, np.nan], [2.0, 5.0], [3.0, 7.0]], higher=[True, False])
    assert of.filled.tolist() == [[1.0, 7.0], [2.0, 5.0], [3.0, 7.0]]
    assert of.gaps == [{"sandbox": "a", "criterion": "c1"}]


@pytest.mark.parametrize("method", METHODS)
def test_nobody_gains_by_not_measuring(method) -> None:
    generator = np.random.default_rng(6)
    higher = [True, False, False]
    for _ in range(50):
        values, weights = generator.random((4, 3)), generator.dirichlet(np.ones(3))
        row, column = int(generator.integers(4)), int(generator.integers(3))
        whole = problem(values.tolist(), higher=higher)
        values[row, column] = np.nan
        gap = problem(values.tolist(), higher=higher)
        before = ranks(scores(method, whole.filled, weights, whole.criteria))[row]
        after = ranks(scores(method, gap.filled, weights, gap.criteria))[row]
        if whole.filled[row, column] != gap.filled[row, column]:
            rest = np.delete(whole.values[:, column], row)
            inside = rest.min() <= whole.values[row, column] <= rest.max()
            assert not inside or after >= before, (method, whole.values, row, column)


def test_a_problem_leaves_out_what_fewer_than_two_measured_and_sorts_sandboxes(measured) -> None:
    priced = measured("minimal", efficiency__cost=0.4)  # one alone compares with nothing
    cells = {
        name: sandbox_cells([each])
        for name, each in (("minimal", priced), ("eyes_on", measured("eyes_on")))
    }
    of = problem_of(cells)
    assert of.sandboxes == ("eyes_on", "minimal")
    assert not {"energy_joules", "cost"} & {each.name for each in of.criteria}
    assert of.gaps == []
    assert {"bytes_up", "at_rest"} <= set(of.constant())


def test_a_ranking_has_a_score_and_a_rank_for_each() -> None:
    found = rank(problem([[1.0, 1.0], [3.0, 2.0], [2.0, 1.5]]), {"c0": 2.0, "c1": 1.0})
    assert list(found) == list(METHODS)
    for rows in found.values():
        assert [(row["sandbox"], row["rank"]) for row in rows] == [("b", 1), ("c", 2), ("a", 3)]


def test_who_is_first_by_each_method_and_all_of_them_where_they_tie() -> None:
    found = rank(problem([[1.0, 2.0], [2.0, 1.0], [0.0, 0.0]]), {"c0": 1.0, "c1": 1.0})
    assert first_by_method(found) == {key: ["a", "b"] for key in METHODS}
    assert first_by_method({}) == {}


def test_leaving_a_sandbox_out_leaves_out_what_it_alone_measured() -> None:
    rest = problem([[1.0, 4.0], [2.0, np.nan], [3.0, np.nan]]).without("a")
    assert rest.sandboxes == ("b", "c")
    assert [each.name for each in rest.criteria] == ["c0"]


@pytest.mark.parametrize("method", METHODS)
def test_a_criterion_in_which_all_are_alike_as_far_as_anybody_notices_decides_nothing(
    method: str,
) -> None:
    bound, auroc = criteria_of(["membership_bound", "auroc"])
    criteria = [auroc, bound]
    values = np.array([[0.97, 1.0], [0.91, 0.9993]])
    mostly_the_second = np.array([0.1, 0.9])
    first, second = scores(method, values, mostly_the_second, criteria)
    assert first > second
    values[1, 1] = 0.9  # which anybody would notice
    first, second = scores(method, values, mostly_the_second, criteria)
    assert first < second
