"""TOPSIS, VIKOR and PROMETHEE II of many drawn matrices and weights at once.

pymcdm takes one matrix a call, and doubt asks for some 700,000 rankings (2,000 draws, four
profiles, three methods, and each sandbox, criterion and group left out in turn): minutes, which
arrays make seconds. What a criterion adds does not depend on its weight, so it is reckoned once for
all weights: `parts`, then `scores`. `ranking.py` ranks by pymcdm itself, and the tests hold both to
the same numbers.

Shapes: D draws, n sandboxes, m criteria. Higher scores are better, by every method.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fed_assets.comparison.criterion import Criterion

Floats = NDArray[np.float64]

TOPSIS, VIKOR, PROMETHEE_II = METHODS = ("topsis", "vikor", "promethee_ii")
NORMALIZED_BY = "min_max"  # by TOPSIS and VIKOR: 0 the worst of a criterion, 1 the best
ALIKE = 1e-12  # values this near to each other, as shares of the largest, are one value
GROUP_UTILITY = 0.5  # VIKOR's v: the majority's good and the worst regret count alike


@dataclass(frozen=True)
class Parts:
    """What each criterion adds by one method, before it is weighed.

    Attributes:
        method: the method.
        arrays: [D, n, m] each: of TOPSIS squared distances to best and worst, of VIKOR regrets, of
            PROMETHEE II net flows.
    """

    method: str
    arrays: tuple[Floats, ...]


def parts(method: str, values: Floats, criteria: Sequence[Criterion]) -> Parts:
    """Returns what each criterion adds, of values [D, n, m] without gaps."""
    higher = np.array([each.higher_is_better for each in criteria])
    span = spread(values, criteria)[:, None, :]
    signed = np.where(higher, values, -values) * (span > 0)
    best = signed.max(axis=1, keepdims=True)
    worst = signed.min(axis=1, keepdims=True)
    if method == TOPSIS:
        return Parts(method, (_ratio(signed - best, span) ** 2, _ratio(signed - worst, span) ** 2))
    if method == VIKOR:
        return Parts(method, (_ratio(best - signed, span),))
    indifference, preference = thresholds(values, criteria)
    ahead = signed[:, :, None, :] - signed[:, None, :, :]
    over = np.abs(ahead) - indifference[:, None, None, :]
    between = (preference - indifference)[:, None, None, :]
    preferred = np.sign(ahead) * np.clip(_ratio(over, between), 0, 1)
    return Parts(method, (preferred.sum(axis=2) / max(1, values.shape[1] - 1),))


def spread(values: Floats, criteria: Sequence[Criterion]) -> Floats:
    """Returns largest less smallest [D, m]; 0 where nobody would notice it.

    That is up to the criterion's indifference, or where no pair is apart beyond its own doubt
    (`by_chance`): VIKOR would stretch it over its whole scale.
    """
    found: Floats = np.asarray(np.ptp(values, axis=1))
    unnoticed = np.maximum(thresholds(values, criteria)[0], ALIKE * np.abs(values).max(axis=1))
    telling = np.array([each.pairs_apart != 0 for each in criteria], dtype=bool)
    return np.where(telling & (found > unnoticed), found, 0.0)


def thresholds(values: Floats, criteria: Sequence[Criterion]) -> tuple[Floats, Floats]:
    """Returns PROMETHEE II's indifference and preference [D, m], in the criteria's units."""
    mean, relative = values.mean(axis=1), np.array([each.relative for each in criteria])
    scale = np.where(relative, mean, 1.0)
    indifference = scale * np.array([each.indifference for each in criteria])
    preference = scale * np.array([each.preference for each in criteria])
    return indifference, preference


def scores(of: Parts, weights: Floats, *, group_utility: float = GROUP_UTILITY) -> Floats:
    """Returns the scores [D, n] of parts by weights [D, m] or [m] that sum to 1.

    Where nothing tells sandboxes apart, their scores are alike. The score of VIKOR is its Q, which
    is lower for the better, with its sign turned.
    """
    each = weights if weights.ndim == 2 else weights[None, :]
    if of.method == TOPSIS:
        to_best, to_worst = (np.sqrt(_weighed(array, each**2)) for array in of.arrays)
        return _ratio(to_worst, to_best + to_worst)
    if of.method == PROMETHEE_II:
        (flows,) = of.arrays
        telling = (each * flows.any(axis=1)).sum(axis=1, keepdims=True)
        return _ratio(_weighed(flows, each), telling)
    regret = of.arrays[0] * each[:, None, :]
    q = group_utility * _from_least(regret.sum(axis=2))
    return -(q + (1 - group_utility) * _from_least(regret.max(axis=2)))


def q_is_defined(of: Parts, weights: Floats) -> bool:
    """Returns whether VIKOR's Q is no 0 / 0 for parts of one draw by weights [m]."""
    regret = of.arrays[0] * weights
    return bool(min(np.ptp(regret.sum(axis=2)), np.ptp(regret.max(axis=2))) > ALIKE)


def _weighed(array: Floats, weights: Floats) -> Floats:
    return np.asarray((array @ weights[:, :, None])[..., 0])


def _from_least(values: Floats) -> Floats:
    """Returns values [D, n] from 0, the least, to 1; 0 where all are alike."""
    above = values - values.min(axis=1, keepdims=True)
    most = above.max(axis=1, keepdims=True)
    return _ratio(above, np.where(most > ALIKE, most, 0.0))


def _ratio(part: Floats, whole: Floats) -> Floats:
    """Returns part / whole, 0 where the whole is."""
    part, whole = np.broadcast_arrays(part, whole)
    return np.divide(part, whole, out=np.zeros_like(part), where=whole > 0)
