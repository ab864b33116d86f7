"""Which pairs of sandboxes are apart by more than chance, so that none is ranked by chance."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from itertools import combinations

import numpy as np

from fed_assets.comparison.batched import ALIKE
from fed_assets.comparison.cells import LEVEL
from fed_assets.comparison.draws import draw_values
from fed_assets.comparison.matrix import Cells
from fed_assets.comparison.ranking import Problem

# Fixed, so that what is ranked depends on what was measured and not on the comparison's draws. With
# five sandboxes the interval of a pair leaves 25 of so many draws out on each side.
DRAWS, SEED = 10_000, 0


def told_by_chance(problem: Problem, cells: Mapping[str, Cells]) -> Problem:
    """Returns the problem with the pairs that are `apart` beyond their own doubt.

    A pair is where the interval of its drawn difference leaves zero out, paired as the measurements
    are. All intervals of a criterion hold together with a level of 95 %: each has the level
    1 - 0.05 / pairs (Bonferroni's, as Dunn 1961, JASA 56:52, has it for differences of means). So
    of sandboxes that are alike, chance takes any two for different in 5 of 100 criteria at most.
    How many pairs there are counts for a pair, and not how wide another's interval is. Models of
    the same weights are drawn together and are never apart; nor is what was not measured.

    Args:
        problem: what is ranked.
        cells: as for `draws.draw_values`.
    """
    values, n = problem.values, len(problem.sandboxes)
    if n < 2:
        return problem
    pairs = list(combinations(range(n), 2))
    out = (1 - LEVEL) / len(pairs) / 2
    drawn = draw_values(problem, cells, draws=DRAWS, seed=SEED)
    rounding = ALIKE * np.abs(problem.filled).max(axis=0)
    apart = np.zeros((n, *values.shape), dtype=bool)
    for one, other in pairs:
        low, high = np.quantile(drawn[:, one] - drawn[:, other], [out, 1 - out], axis=0)
        measured = ~np.isnan(values[one] + values[other])
        told = measured & ((low > rounding) | (high < -rounding))
        apart[one, other] = apart[other, one] = told
    known = replace(problem, apart=apart)
    return replace(known, criteria=known.criteria_among(range(n)))
