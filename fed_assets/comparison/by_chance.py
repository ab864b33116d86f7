"""How far apart chance alone puts sandboxes that are alike, so that none is ranked by that."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from fed_assets.comparison.cells import LEVEL
from fed_assets.comparison.draws import draw_values
from fed_assets.comparison.matrix import Cells
from fed_assets.comparison.ranking import Problem

# Fixed, so that what is ranked depends on what was measured and not on the comparison's draws.
DRAWS, SEED = 2000, 0


def told_by_chance(problem: Problem, cells: Mapping[str, Cells]) -> Problem:
    """Returns the problem with the `chance` of each criterion.

    Were all sandboxes alike, chance would move each from the common value as it moves it from its
    own. How far the largest and the smallest are then apart stays below `chance` in 95 of 100 draws
    (Tukey's range test, by simulation: a parametric bootstrap, paired as the measurements are). A
    spread up to that is none that the measurements support. Models of the same weights are moved
    together, and add nothing to it; nor does what was not measured.
    """
    if len(problem.sandboxes) < 2:
        return problem
    moved = draw_values(problem, cells, draws=DRAWS, seed=SEED) - problem.values
    apart = np.ptp(np.where(np.isnan(moved), 0.0, moved), axis=1)
    chance = np.quantile(apart, LEVEL, axis=0)
    criteria = zip(problem.criteria, chance.tolist(), strict=True)
    return replace(problem, criteria=tuple(replace(each, chance=of) for each, of in criteria))
