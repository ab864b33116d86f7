"""What the measurements and the weights could as well have been, drawn by chance from a seed.

Each sandbox and each profile has a stream of its own, so that another one beside it, or another
order, changes nothing of its draws.

Measurements. Over several runs, the mean is drawn from Student's t about the measured one, jointly
for all criteria (a run that was slow in one thing was slow in others): a parametric bootstrap, as
resampling two or three runs would understate their spread (Efron and Tibshirani 1993, section
6.5). To it comes what each run's own interval says, normal on each side: the runs share their test
images, so that more of them do not shrink it. Sandboxes are drawn independently though they share
images too; that makes the doubt rather too large than too small. A criterion that varies with the
machine and was measured in one run has nothing that tells its spread; ASSUMED_SPREAD stands in. A
value that was not measured is drawn from between the worst and the best that were.

Weights. Groups from a Dirichlet distribution about the profile's, then the criteria within each.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence

import numpy as np

from fed_assets.comparison.cells import LEVEL, Floats, moved
from fed_assets.comparison.criterion import GROUPS, Criterion
from fed_assets.comparison.matrix import Cells
from fed_assets.comparison.profiles import Profile
from fed_assets.comparison.ranking import Problem

# Relative standard deviation between two runs alike: an assumption and no measurement, which more
# seeds replace.
ASSUMED_SPREAD = 0.1
# A group that weighs a quarter lies between 0.09 and 0.46 in 95 % of the draws at this one; twice
# as much halves the variance.
CONCENTRATION = 20.0


def stream(seed: int, *names: str) -> np.random.Generator:
    """Returns the generator of a seed for what bears these names."""
    return np.random.default_rng([seed, *(zlib.crc32(name.encode()) for name in names)])


def draw_values(problem: Problem, cells: Mapping[str, Cells], *, draws: int, seed: int) -> Floats:
    """Returns drawn measurements [draws, n, m] without gaps."""
    found = np.empty((draws, len(problem.sandboxes), len(problem.criteria)))
    for row, sandbox in enumerate(problem.sandboxes):
        found[:, row] = _values_of(problem, cells[sandbox], stream(seed, "values", sandbox), draws)
    return found


def _values_of(
    problem: Problem, cells: Cells, generator: np.random.Generator, draws: int
) -> Floats:
    from scipy import stats

    criteria = problem.criteria
    runs = max((len(each.readings) for each in cells.values()), default=0)
    # The same numbers are drawn whatever was measured, so that criteria do not shift each other's.
    of_runs = generator.standard_normal((draws, runs))
    chance = generator.uniform(size=draws)
    own = generator.standard_normal((draws, len(criteria)))
    anywhere = generator.uniform(size=(draws, len(criteria)))
    unit = stats.norm.ppf((1 + LEVEL) / 2)
    found = np.empty((draws, len(criteria)))
    for column, criterion in enumerate(criteria):
        cell = cells[criterion.name]
        if cell.value is None:
            low, high = np.nanmin(problem.values[:, column]), np.nanmax(problem.values[:, column])
            found[:, column] = low + anywhere[:, column] * (high - low)
            continue
        values = np.array([np.nan if each is None else each.value for each in cell.readings])
        by = np.zeros(draws)
        n = len(cell.values)
        if n > 1 and not criterion.worst_of_runs:
            # sum of g_i (x_i - mean) / sqrt(n (n - 1)) has the variance of the mean.
            apart = np.nan_to_num(values - np.nanmean(values))
            shrink = np.sqrt(stats.chi2.ppf(chance, n - 1) / (n - 1))
            by = of_runs @ apart / np.sqrt(n * (n - 1)) / shrink
        elif n == 1 and criterion.varies:
            by = own[:, column] * ASSUMED_SPREAD * cell.value
        below, above = cell.own_half_widths
        by = by + own[:, column] * np.where(own[:, column] < 0, below, above) / unit
        found[:, column] = moved(criterion, cell.value, by)
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
