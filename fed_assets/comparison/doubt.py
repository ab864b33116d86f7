"""How sure a ranking is: the probability of each rank, and whether it holds without a sandbox.

Probabilities are shares of draws of weights and measurements, in the manner of stochastic
multicriteria acceptability analysis (Lahdelma and Salminen 2001, SMAA-2, Operations Research
49:444, "rank acceptability"). The three methods count alike, a third each: which of them is asked
is in doubt as well.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fed_assets.comparison.batched import METHODS, Floats, Parts, parts, scores
from fed_assets.comparison.criterion import Criterion
from fed_assets.comparison.ranking import TIE, Problem, rank

Flags = NDArray[np.bool_]


@dataclass(frozen=True)
class Drawn:
    """The drawn measurements of a problem, ready to be weighed by any profile.

    Attributes:
        problem: the problem.
        values: [D, n, m].
        parts: what each criterion adds, by method.
    """

    problem: Problem
    values: Floats
    parts: Mapping[str, Parts]


def drawn(problem: Problem, values: Floats) -> Drawn:
    """Returns drawn values with what each criterion adds; of fewer than two there is no ranking."""
    several = len(problem.sandboxes) > 1
    return Drawn(problem, values, _by_method(problem.criteria, values) if several else {})


def _by_method(criteria: Sequence[Criterion], values: Floats) -> dict[str, Parts]:
    return {method: parts(method, values, criteria) for method in METHODS}


def winners(by_method: Mapping[str, Parts], weights: Floats) -> Flags:
    """Returns who is first [methods, D, n], of parts by method; several where they tie."""
    found = [scores(by_method[method], weights) for method in METHODS]
    return np.stack([each >= each.max(axis=1, keepdims=True) - TIE for each in found])


def first_shares(first: Flags) -> Floats:
    """Returns how much of each draw's first rank each sandbox has [D, n]; those that tie share."""
    return np.asarray((first / first.sum(axis=2, keepdims=True)).mean(axis=0))


def acceptability(of: Floats) -> Floats:
    """Returns the share of draws in which each sandbox has each rank, [n, n], of scores [D, n].

    Of k sandboxes that tie each has a k-th of each of the k ranks, so that rows and columns have a
    sum of 1.
    """
    n = of.shape[1]
    better = (of[:, None, :] > of[:, :, None] + TIE).sum(axis=2)
    level = (np.abs(of[:, None, :] - of[:, :, None]) <= TIE).sum(axis=2)
    places = np.arange(n)
    has = (better[..., None] <= places) & (places < (better + level)[..., None])
    return np.asarray((has / level[..., None]).mean(axis=0))


def rank_probabilities(of: Drawn, weights: Floats) -> dict[str, dict[str, list[float]]]:
    """Returns each sandbox's probability of each rank, best first, by method and by "all"."""
    found = {method: acceptability(scores(of.parts[method], weights)) for method in METHODS}
    found["all"] = np.mean([found[method] for method in METHODS], axis=0)
    return {
        method: dict(zip(of.problem.sandboxes, shares.tolist(), strict=True))
        for method, shares in found.items()
    }


def reversals(
    of: Drawn, weights: Floats, *, plain_weights: Mapping[str, float]
) -> list[dict[str, Any]]:
    """Returns what becomes of the others' order when each sandbox is left out.

    Args:
        of: the drawn measurements.
        weights: the drawn weights [D, m].
        plain_weights: the profile's own, by criterion.

    Returns:
        By `left_out` sandbox: `methods`, by method the pairs of others whose order is `swapped` and
        Kendall's `tau` (None where it is not defined), as measured; and `winner_changes`, the share
        of draws and methods, among those that another had won, in which the winner is another.
    """
    if len(of.problem.sandboxes) < 3:
        return []
    from scipy import stats

    before = rank(of.problem, plain_weights)
    first = winners(of.parts, weights)
    found = []
    for row, sandbox in enumerate(of.problem.sandboxes):
        rest = of.problem.without(sandbox)
        after = rank(rest, plain_weights)
        by_method = {}
        for method in METHODS:
            old, new = (_places(each[method], rest.sandboxes) for each in (before, after))
            tau = (
                stats.kendalltau(old, new).statistic if len(set(old)) > 1 < len(set(new)) else None
            )
            by_method[method] = {
                "swapped": _swapped(rest.sandboxes, old, new),
                "tau": None if tau is None else float(tau),
            }
        kept = np.delete(np.arange(len(of.problem.sandboxes)), row)
        others = _by_method(of.problem.criteria_among(kept.tolist()), of.values[:, kept])
        changed = (winners(others, weights) != first[:, :, kept]).any(axis=2)
        had_won = first[:, :, kept].any(axis=2) & ~first[:, :, row]
        share = float(changed[had_won].mean()) if had_won.any() else None
        found.append({"left_out": sandbox, "methods": by_method, "winner_changes": share})
    return found


def _places(rows: Sequence[Mapping[str, Any]], sandboxes: Sequence[str]) -> list[int]:
    by_name = {row["sandbox"]: row["rank"] for row in rows}
    return [by_name[sandbox] for sandbox in sandboxes]


def _swapped(sandboxes: Sequence[str], old: Sequence[int], new: Sequence[int]) -> list[list[str]]:
    """Returns the pairs of which the one that was behind is now ahead: the new order of each."""
    return [
        [sandboxes[ahead], sandboxes[behind]]
        for ahead in range(len(sandboxes))
        for behind in range(len(sandboxes))
        if old[ahead] > old[behind] and new[ahead] < new[behind]
    ]
