"""Who may win, and the ranking of those by TOPSIS, VIKOR and PROMETHEE II, as pymcdm reckons them.

They ask differently, which is why all are asked. TOPSIS (Hwang and Yoon 1981) and VIKOR (Opricovic
and Tzeng 2004) both stretch each criterion over what was measured, to the very matrix that the page
shows (`matrix.decision_rows`): TOPSIS weighs how far one is from the best and from the worst in
all, VIKOR also its worst regret in any. PROMETHEE II (Brans and Vincke 1985, the linear preference
with indifference) takes values as they are, and knows from which difference on one matters. A
criterion in which all are alike up to its indifference, or no two are apart beyond their own doubt
(`by_chance`), counts in none of them; any other counts as measured.

A value that was not measured counts as the worst that was: nobody gains by not measuring.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fed_assets.comparison.batched import (
    GROUP_UTILITY,
    METHODS,
    PROMETHEE_II,
    TOPSIS,
    VIKOR,
    Floats,
    parts,
    q_is_defined,
    spread,
    thresholds,
)
from fed_assets.comparison.batched import scores as batched_scores
from fed_assets.comparison.criteria import OF_SANDBOXES
from fed_assets.comparison.criterion import Criterion
from fed_assets.comparison.matrix import Cells
from fed_assets.comparison.measurements import OF_OTHER_CONTROLS

MAY_WIN, BROKE_ITS_WORD, NOT_AUDITED, AUDITED_OTHERWISE, NOT_MEASURED = STANDINGS = (
    "may_win",
    "broke_its_word",
    "not_audited",
    "audited_otherwise",
    "not_measured",
)
# Scores nearer than this are a tie: what floating point makes of alike sandboxes.
TIE = 1e-9


def standing(
    *, measured: bool, keeps_its_word: bool | None, audit: str, allow_unaudited: bool
) -> str:
    """Returns whether a sandbox may win, or why not, before anything is weighed.

    No speed makes good for a broken word. Nor is a sandbox chosen for a protection that nobody
    tried: without an audit of its controls it may win only where the user says so.
    """
    if not measured:
        return NOT_MEASURED
    if keeps_its_word is False:
        return BROKE_ITS_WORD
    if keeps_its_word or allow_unaudited:
        return MAY_WIN
    return AUDITED_OTHERWISE if audit == OF_OTHER_CONTROLS else NOT_AUDITED


@dataclass(frozen=True)
class Problem:
    """What is ranked.

    Attributes:
        sandboxes: those that may win, in the order of the rows.
        criteria: those that were measured, in the order of the columns.
        values: [n, m]; NaN where one was not measured.
        apart: [n, n, m], which pairs are apart beyond their own doubt (`by_chance`); None until a
            comparison knows.
    """

    sandboxes: tuple[str, ...]
    criteria: tuple[Criterion, ...]
    values: Floats
    apart: NDArray[np.bool_] | None = None

    @property
    def filled(self) -> Floats:
        """The values, with the worst measured one in place of each gap."""
        higher = np.array([each.higher_is_better for each in self.criteria], dtype=bool)
        worst = np.where(higher, np.nanmin(self.values, axis=0), np.nanmax(self.values, axis=0))
        return np.where(np.isnan(self.values), worst, self.values)

    @property
    def gaps(self) -> list[dict[str, str]]:
        """Which values were not measured, by `sandbox` and `criterion`."""
        return [
            {"sandbox": self.sandboxes[row], "criterion": self.criteria[column].name}
            for row, column in np.argwhere(np.isnan(self.values)).tolist()
        ]

    def constant(self) -> tuple[str, ...]:
        """Returns the criteria in which all are alike, as far as anybody would notice."""
        alike = [each == 0 for each in spread(self.filled[None], self.criteria)[0].tolist()]
        return tuple(each.name for each, same in zip(self.criteria, alike, strict=True) if same)

    def criteria_among(self, rows: Sequence[int]) -> tuple[Criterion, ...]:
        """Returns the criteria with the pairs that are apart in them among these sandboxes."""
        if self.apart is None:
            return self.criteria
        counts = (self.apart[np.ix_(rows, rows)].sum(axis=(0, 1)) // 2).tolist()
        of_each = zip(self.criteria, counts, strict=True)
        return tuple(replace(each, pairs_apart=count) for each, count in of_each)

    def without(self, sandbox: str) -> Problem:
        """Returns the problem had the sandbox not been there."""
        rows = [row for row, name in enumerate(self.sandboxes) if name != sandbox]
        values = self.values[rows]
        known = np.flatnonzero(~np.isnan(values).all(axis=0)).tolist()
        among = self.criteria_among(rows)
        return Problem(
            tuple(self.sandboxes[row] for row in rows),
            tuple(among[column] for column in known),
            values[:, known],
            None if self.apart is None else self.apart[np.ix_(rows, rows, known)],
        )


def problem_of(cells: Mapping[str, Cells]) -> Problem:
    """Returns what is ranked, of the cells by sandbox.

    What fewer than two of them measured compares nothing, and is left out.
    """
    sandboxes = tuple(sorted(cells))
    known = [
        each
        for each in OF_SANDBOXES
        if sum(cells[sandbox][each.name].value is not None for sandbox in sandboxes)
        >= min(2, max(1, len(sandboxes)))
    ]
    values = [
        [_or_gap(cells[sandbox][criterion.name].value) for criterion in known]
        for sandbox in sandboxes
    ]
    return Problem(sandboxes, tuple(known), np.array(values).reshape(len(sandboxes), len(known)))


def _or_gap(value: float | None) -> float:
    return np.nan if value is None else value


def scores(
    method: str,
    values: Floats,
    weights: Floats,
    criteria: Sequence[Criterion],
    *,
    group_utility: float = GROUP_UTILITY,
) -> Floats:
    """Returns the scores [n] of values [n, m] without gaps by weights [m]; higher is better.

    Criteria that are alike everywhere tell nothing apart and are left out first: by none of the
    methods do they change an order, and TOPSIS and VIKOR are not defined with them. Where none is
    left, or there is one sandbox, all scores are 0. VIKOR is not defined either where all have one
    utility or one regret; there the other of the two decides (`batched.scores`).
    """
    telling = (spread(values[None], criteria)[0] > 0) & (weights > 0)
    if len(values) < 2 or not telling.any():
        return np.zeros(len(values))
    values, weights = values[:, telling], weights[telling] / weights[telling].sum()
    told = [each for each, kept in zip(criteria, telling, strict=True) if kept]
    if method == VIKOR and not q_is_defined(of := parts(VIKOR, values[None], told), weights):
        found: Floats = batched_scores(of, weights, group_utility=group_utility)[0]
        return found
    from pymcdm import methods, normalizations  # loads matplotlib and pandas

    signs = np.array([1 if each.higher_is_better else -1 for each in told])
    if method == TOPSIS:
        body = methods.TOPSIS(normalizations.minmax_normalization)
    elif method == VIKOR:
        body = methods.VIKOR(v=group_utility)
    elif method == PROMETHEE_II:
        indifference, preference = (each[0] for each in thresholds(values[None], told))
        body = methods.PROMETHEE_II("vshape_2", p=preference, q=indifference)
    else:
        raise ValueError(f"There is no method {method}; there are {', '.join(METHODS)}.")
    found = np.asarray(body(values, weights, signs, validation=False), dtype=float)
    return -found if method == VIKOR else found


def ranks(of: Floats) -> list[int]:
    """Returns the rank of each score, 1 for the best; ties share the better rank.

    >>> ranks(np.array([0.2, 0.7, 0.7, 0.1]))
    [3, 1, 1, 4]
    """
    return [int((of > each + TIE).sum()) + 1 for each in of]


def rank(problem: Problem, weights: Mapping[str, float]) -> dict[str, list[dict[str, Any]]]:
    """Returns, by method, each sandbox's `score` and `rank`, in the order of the ranks.

    Args:
        problem: what is ranked.
        weights: by criterion; of the problem's they are brought to a sum of 1.
    """
    vector = weight_vector(problem.criteria, weights)
    found = {}
    for method in METHODS:
        of = scores(method, problem.filled, vector, problem.criteria)
        rows = [
            {"sandbox": sandbox, "score": float(score), "rank": place}
            for sandbox, score, place in zip(problem.sandboxes, of, ranks(of), strict=True)
        ]
        found[method] = sorted(rows, key=lambda row: (row["rank"], row["sandbox"]))
    return found


def unranked(problem: Problem, weights: Mapping[str, float]) -> dict[str, list[dict[str, Any]]]:
    """Returns what `rank` does of sandboxes too few to rank: a `score` and a `rank` of None."""
    nothing = {"score": None, "rank": None}
    rows = [{"sandbox": sandbox, **nothing} for sandbox in problem.sandboxes]
    return {method: [dict(row) for row in rows] for method in METHODS}


def first_by_method(ranking: Mapping[str, Sequence[Mapping[str, Any]]]) -> dict[str, list[str]]:
    """Returns, by method, who is first; several where they tie.

    Args:
        ranking: of `rank`.
    """
    return {
        method: [row["sandbox"] for row in rows if row["rank"] == 1]
        for method, rows in ranking.items()
    }


def weight_vector(criteria: Sequence[Criterion], weights: Mapping[str, float]) -> Floats:
    """Returns the weights [m] of criteria, with a sum of 1, or of 0 where none has any."""
    vector = np.array([weights.get(each.name, 0.0) for each in criteria])
    return vector / vector.sum() if vector.sum() > 0 else vector
