"""How far chance may have moved a measurement, drawn from a seed.

Sandboxes are drawn in pairs as far as they were measured in pairs. Independent draws of two models
that were tested on the same images would overstate how uncertain their difference is, and wholly
correlated ones understate it; so how far they go together is taken from what was measured.

Between trainings. Over several runs the mean is drawn from Student's t about the measured one: a
parametric bootstrap, as resampling two or three runs would understate their spread (Efron and
Tibshirani 1993, section 6.5). Runs of one seed share their first weights and the hospitals' shares,
so that what a model is worth has the same numbers drawn for this seed in every sandbox: the
difference of two sandboxes then has the t distribution of their paired differences by seed. What a
machine does (seconds, memory) is drawn for each sandbox by itself, jointly for all of its criteria:
a run that was slow in one thing was slow in others.

Over the test images. Runs on the same images keep what each bootstrap resample of these came to
(`readings.Resampled`), all the same resamples: one is drawn for all sandboxes and seeds at once,
and gives the values that each model had on the very images that it drew. More runs on the same
images do not shrink this doubt. The common test set is one such set of images; all that membership
inference was tried on is another; and the test images of a hospital are a third, of all sandboxes
in which sensitivity is lowest there. Sandboxes that are at their worst at different hospitals were
measured on different images, and are drawn independently. It is the lowest hospital that is drawn
and not the lowest of each resample: the bootstrap fails for a minimum where hospitals are near each
other (Fang and Santos 2019, Review of Economic Studies 86:377), and would come to less than was
measured wherever many are.

Where a run kept none (of an earlier version, or of images that are not open: a hospital's resamples
do not leave it), the runs' own intervals are drawn from, normal on each side. Of the same weights
and data that is one measurement, and one draw. Other weights are then drawn independently, which
makes the doubt of their difference too large rather than too small.

What has no interval. What is exact (`Criterion.exact`) is not moved. Of a machine's doing that was
measured once, or always alike, the spread of the sandboxes with several seeds stands in, and where
there are none an assumed one (`spreads`). What is drawn of it is joint for all criteria likewise,
as what was off in those runs was. Of a model's figure whose interval has no width, or that has
none, nobody knows the doubt, least of all that there is none: all 11 images told right does not say
that the twelfth will be. It is drawn with the widest interval that another sandbox has in the same
criterion, at least with a half-width of what the criterion prefers wholly; both are assumptions,
and a comparison says of whom (`cells.doubt_is_unknown`).
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence

import numpy as np

from fed_assets.comparison.cells import LEVEL, Cell, Floats, doubt_is_unknown, spread_is_told
from fed_assets.comparison.criterion import Criterion
from fed_assets.comparison.readings import Resampled
from fed_assets.comparison.spreads import ASSUMED_SPREAD, Pool


def stream(seed: int, *names: str) -> np.random.Generator:
    """Returns the generator of a seed for what bears these names."""
    return np.random.default_rng([seed, *(zlib.crc32(name.encode()) for name in names)])


def deviations(
    criterion: Criterion,
    cell: Cell,
    sandbox: str,
    *,
    pool: Pool | None,
    widest: float,
    draws: int,
    seed: int,
) -> Floats:
    """Returns how far chance may have moved a measured value, in its unit, [draws].

    Args:
        criterion: what was measured.
        cell: of the sandbox, with a value.
        sandbox: its name.
        pool: what sandboxes with several seeds show of the criterion; None where none does.
        widest: the largest half-width that any sandbox's own intervals have in the criterion.
        draws: how many.
        seed: of all draws.
    """
    if criterion.worst_of_runs:
        return np.zeros(draws)
    if criterion.varies and not spread_is_told(cell):
        if pool is not None:
            return _as_others_vary(pool, sandbox, draws, seed) * cell.values[0]
        alone = stream(seed, "assumed", criterion.name, sandbox).standard_normal(draws)
        return alone * ASSUMED_SPREAD * cell.values[0]
    between = _between_trainings(criterion, cell, sandbox, draws, seed)
    if not criterion.of_model:
        return between
    if doubt_is_unknown(criterion, cell):
        half = max(widest, criterion.preference)
        return between + _normal(criterion, cell, sandbox, (half, half), draws, seed)
    resampled = [each.resampled for _, each in cell.known if each.resampled]
    if len(resampled) == len(cell.values) and all(each.tell_doubt for each in resampled):
        return between + _over_images(cell, resampled, draws, seed)
    return between + _normal(criterion, cell, sandbox, cell.own_half_widths, draws, seed)


def _as_others_vary(pool: Pool, sandbox: str, draws: int, seed: int) -> Floats:
    """Returns how far one run may be off its mean, as a share of it, by what others' runs are off.

    The others' deviation is one estimate for all sandboxes that have none, and is drawn once.
    """
    from scipy import stats

    chance = stream(seed, "spread", "of others").uniform(size=draws)
    by_run = [stream(seed, "as another", sandbox, run).standard_normal(draws) for run in pool.runs]
    # sum of g_i off_i / sqrt(degrees) has the pooled variance.
    off = np.array(pool.off) @ np.array(by_run) / np.sqrt(pool.degrees)
    return np.asarray(off / np.sqrt(stats.chi2.ppf(chance, pool.degrees) / pool.degrees))


def _between_trainings(
    criterion: Criterion, cell: Cell, sandbox: str, draws: int, seed: int
) -> Floats:
    from scipy import stats

    n, values = len(cell.values), np.array(cell.values)
    if n < 2:
        return np.zeros(draws)
    whose = () if criterion.of_model else (sandbox,)
    chance = stream(seed, "spread", *whose).uniform(size=draws)
    by_run = [
        stream(seed, "training", str(run.seed), *whose).standard_normal(draws)
        for run, _ in cell.known
    ]
    # sum of g_i (x_i - mean) / sqrt(n (n - 1)) has the variance of the mean.
    moved = (values - values.mean()) @ np.array(by_run) / np.sqrt(n * (n - 1))
    return np.asarray(moved / np.sqrt(stats.chi2.ppf(chance, n - 1) / (n - 1)))


def _over_images(cell: Cell, resampled: Sequence[Resampled], draws: int, seed: int) -> Floats:
    """Returns how far one resample's values are from those of all images, in the mean of runs."""
    values = [_drawn_of(each, draws, seed) for each in resampled]
    return np.asarray(np.mean(values, axis=0) - np.mean(cell.values))


def _drawn_of(resampled: Resampled, draws: int, seed: int) -> Floats:
    """Returns drawn resamples' values; one that is not defined counts as the next that is."""
    values = np.array(resampled.values)
    defined = np.flatnonzero(np.isfinite(values))
    number = str(len(values))
    which = stream(seed, "resamples", resampled.of, number).integers(len(values), size=draws)
    found: Floats = values[defined[np.searchsorted(defined, which) % len(defined)]]
    return found


def _normal(
    criterion: Criterion,
    cell: Cell,
    sandbox: str,
    half_widths: tuple[float, float],
    draws: int,
    seed: int,
) -> Floats:
    """Returns draws of an interval, normal on each side; the same of the same model and data."""
    from scipy import stats

    first, _ = cell.known[0]
    own = stream(seed, "images", criterion.name, first.model or sandbox).standard_normal(draws)
    below, above = half_widths
    return np.asarray(own * np.where(own < 0, below, above) / stats.norm.ppf((1 + LEVEL) / 2))
