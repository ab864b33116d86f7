"""Which criterion, and which group, decides who wins: tested and not assumed.

Two measures. What decides changes the winner when it is left out: the share of draws and methods in
which it does. And where a weight matters, the chosen sandbox wins more often, or less, the more the
criterion weighs: Spearman's rank correlation of the drawn weight with the choice's winning.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from fed_assets.comparison.batched import Floats
from fed_assets.comparison.cells import LEVEL
from fed_assets.comparison.criterion import EFFICIENCY, GROUPS
from fed_assets.comparison.doubt import Drawn, Flags, first_shares, winners

HOLDS, REFUTED, OPEN = "holds", "refuted", "open"


def influence(of: Drawn, weights: Floats, *, choice: str) -> dict[str, list[dict[str, Any]]]:
    """Returns how far each group and each criterion decides, as `groups` and `criteria`.

    Args:
        of: the drawn measurements.
        weights: the drawn weights [D, m].
        choice: the sandbox that is first most often.

    Returns:
        Rows of `name`, `group` (of a criterion), `changes_winner` (`value`, and `low` and `high`,
        the 95 % interval that so many draws leave, Wilson 1927) and `correlation`, None where the
        weight or who wins is the same in all draws. What the most depends on comes first.
    """
    first = winners(of.parts, weights)
    wins = first_shares(first)[:, of.problem.sandboxes.index(choice)]
    criteria = of.problem.criteria
    by_group = {
        group: [column for column, each in enumerate(criteria) if each.group == group]
        for group in GROUPS
    }
    groups = [
        {"name": group, **_influence_of(of, weights, columns, first, wins)}
        for group, columns in by_group.items()
        if columns
    ]
    single = [
        {"name": each.name, "group": each.group, **_influence_of(of, weights, [at], first, wins)}
        for at, each in enumerate(criteria)
    ]
    return {"groups": _ordered(groups), "criteria": _ordered(single)}


def _influence_of(
    of: Drawn, weights: Floats, columns: Sequence[int], first: Flags, wins: Floats
) -> dict[str, Any]:
    rest = weights.copy()
    rest[:, list(columns)] = 0.0
    total = rest.sum(axis=1, keepdims=True)
    rest = np.divide(rest, total, out=np.zeros_like(rest), where=total > 0)
    changed = (winners(of.parts, rest) != first).any(axis=2).mean()
    return {
        "changes_winner": _share(float(changed), len(weights)),
        "correlation": _correlation(weights[:, list(columns)].sum(axis=1), wins),
    }


def _share(value: float, draws: int) -> dict[str, float]:
    from scipy import stats

    found = stats.binomtest(round(value * draws), draws).proportion_ci(LEVEL, method="wilson")
    return {"value": value, "low": float(found.low), "high": float(found.high)}


def _correlation(weight: Floats, wins: Floats) -> float | None:
    from scipy import stats

    if len(weight) < 3 or np.ptp(weight) < 1e-12 or np.ptp(wins) == 0:
        return None
    return float(stats.spearmanr(weight, wins).statistic)


def _ordered(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return sorted(rows, key=lambda row: (-row["changes_winner"]["value"], row["name"]))


def claim(groups: Sequence[Mapping[str, Any]], group: str = EFFICIENCY) -> dict[str, Any]:
    """Returns what becomes of the claim that one group decides.

    Args:
        groups: rows of `influence`.
        group: the one that is claimed to.

    Returns:
        The `group`, and the `verdict`: "holds" where leaving it out changes the winner more often
        than leaving out any other does, beyond the chance of the draws; "refuted" where another's
        does, or no group's changes it at all; else "open". `strongest` is the group that changes it
        most often, and where it is open the one that does of the others; None where none does.
    """
    by_name = {row["name"]: row["changes_winner"] for row in groups}
    strongest = max(by_name, key=lambda name: by_name[name]["value"], default=None)
    if strongest is None or by_name[strongest]["value"] == 0 or group not in by_name:
        some = strongest if strongest and by_name[strongest]["value"] > 0 else None
        return {"group": group, "verdict": REFUTED, "strongest": some}
    own = by_name[group]
    others = {name: of for name, of in by_name.items() if name != group}
    if all(own["low"] > other["high"] for other in others.values()):
        verdict = HOLDS
    elif any(other["low"] > own["high"] for other in others.values()):
        verdict = REFUTED
    else:
        verdict = OPEN
        strongest = max(others, key=lambda name: others[name]["value"])
    return {"group": group, "verdict": verdict, "strongest": strongest}
