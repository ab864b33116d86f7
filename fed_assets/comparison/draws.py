"""What the measurements and the weights could as well have been, drawn by chance from a seed.

What is drawn of one sandbox or profile, and of one criterion, does not depend on what others there
are, nor on their order, but for what stands in where its own doubt was not measured.

Measurements. How chance may have moved each: `deviations`. A value that was not measured is drawn
from between the worst and the best that were.

Weights. Groups from a Dirichlet distribution about the profile's, then the criteria within each.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from fed_assets.comparison.cells import Floats, moved
from fed_assets.comparison.criterion import GROUPS, Criterion
from fed_assets.comparison.deviations import deviations, stream
from fed_assets.comparison.matrix import Cells
from fed_assets.comparison.profiles import Profile
from fed_assets.comparison.ranking import Problem
from fed_assets.comparison.spreads import pools

# A group that weighs a quarter lies between 0.09 and 0.46 in 95 % of the draws at this one; twice
# as much halves the variance.
CONCENTRATION = 20.0


def draw_values(problem: Problem, cells: Mapping[str, Cells], *, draws: int, seed: int) -> Floats:
    """Returns drawn measurements [draws, n, m] without gaps.

    Args:
        problem: what is ranked.
        cells: of its sandboxes, and of others that show how far a machine's doing varies.
        draws: how many.
        seed: of all draws.
    """
    pooled = pools(cells)
    found = np.empty((draws, len(problem.sandboxes), len(problem.criteria)))
    for column, criterion in enumerate(problem.criteria):
        of = {sandbox: cells[sandbox][criterion.name] for sandbox in problem.sandboxes}
        widest = max((max(each.own_half_widths) for each in of.values()), default=0.0)
        for row, (sandbox, cell) in enumerate(of.items()):
            if cell.measured is None:
                measured = problem.values[:, column]
                low, high = np.nanmin(measured), np.nanmax(measured)
                anywhere = stream(seed, "anywhere", criterion.name, sandbox).uniform(size=draws)
                found[:, row, column] = low + anywhere * (high - low)
                continue
            by = deviations(
                criterion,
                cell,
                sandbox,
                pool=pooled.get(criterion.name),
                widest=widest,
                draws=draws,
                seed=seed,
            )
            found[:, row, column] = moved(criterion, cell.measured, by)
    return found


def draw_weights(
    profile: Profile,
    criteria: Sequence[Criterion],
    *,
    draws: int,
    seed: int,
    concentration: float = CONCENTRATION,
) -> Floats:
    """Returns drawn weights [draws, m] of measured criteria, each row with a sum of 1.

    A weight w has the mean w and the variance w (1 - w) / (concentration + 1), of a group among the
    groups and of a criterion within its group. What weighs 0 stays 0. All are 0 where nothing that
    the profile weighs was measured.
    """
    names = [each.name for each in criteria]
    used = profile.weights_of(criteria)
    totals = [sum(used[n] for n in profile.shares_of(group, names)) for group in GROUPS]
    generator = stream(seed, "weights", profile.name)
    of_groups = _dirichlet(np.array(totals), concentration, generator, draws)
    found = np.zeros((draws, len(names)))
    for column, group in enumerate(GROUPS):
        shares = profile.shares_of(group, names)
        within = _dirichlet(np.array(list(shares.values())), concentration, generator, draws)
        for index, name in enumerate(shares):
            found[:, names.index(name)] = of_groups[:, column] * within[:, index]
    return found


def _dirichlet(
    mean: Floats, concentration: float, generator: np.random.Generator, draws: int
) -> Floats:
    found = np.zeros((draws, len(mean)))
    weighs = mean > 0
    if weighs.any():
        found[:, weighs] = generator.dirichlet(concentration * mean[weighs], size=draws)
    return found
