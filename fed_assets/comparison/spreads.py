"""How far a machine's doing varies between runs alike, and what tells it, if anything does.

A sandbox with several seeds shows it itself (`OWN`). One with a single seed, or with readings
that are alike every time, does not; but others of the same home may. Of those the relative standard
deviations are pooled by their degrees of freedom,

    s^2 = sum of (n_k - 1) c_k^2 / sum of (n_k - 1),    c_k = deviation / mean of sandbox k

as one common coefficient of variation is estimated (Forkman 2009, Estimator and tests for common
coefficients of variation in normal distributions, Communications in Statistics: Theory and Methods
38:233), criterion by criterion. That takes it that all vary by the same share of their values. A
run that was measured once is then as far off its mean as Student's t of sum (n_k - 1) degrees of
freedom times s tells: with two runs of one sandbox that is 12.7 s at 95 %, and hardly anything is
known. Where no sandbox shows any spread, ASSUMED_SPREAD stands in.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from fed_assets.comparison.cells import SEEDS, Cell, spread_is_told
from fed_assets.comparison.criteria import OF_SANDBOXES
from fed_assets.comparison.criterion import Criterion
from fed_assets.comparison.matrix import Cells
from fed_assets.comparison.ranking import Problem

# Relative standard deviation between two runs alike: an assumption and no measurement, for where
# nothing was measured.
ASSUMED_SPREAD = 0.1
OWN, POOLED, ASSUMED = SOURCES = ("seeds", "pooled", "assumed")
Row = dict[str, Any]


@dataclass(frozen=True)
class Pool:
    """What sandboxes with several seeds show of one criterion.

    Attributes:
        sandboxes: them, by name.
        runs: a name of each of their runs.
        off: how far each run is off its sandbox's mean, as a share of the mean.
        degrees: of freedom: of each sandbox one less than its runs.
    """

    sandboxes: tuple[str, ...]
    runs: tuple[str, ...]
    off: tuple[float, ...]
    degrees: int

    @property
    def deviation(self) -> float:
        """The pooled relative standard deviation."""
        return float(np.sqrt(np.sum(np.square(self.off)) / self.degrees))


def pools(cells: Mapping[str, Cells]) -> dict[str, Pool]:
    """Returns what can be pooled, by criterion; nothing of one in which no sandbox shows a spread.

    Args:
        cells: of every sandbox of the home, whether it may win or not.
    """
    found = {}
    for criterion in OF_SANDBOXES:
        telling = {
            name: of[criterion.name]
            for name, of in sorted(cells.items())
            if criterion.varies and spread_is_told(of[criterion.name])
        }
        if telling:
            found[criterion.name] = _pool(telling)
    return found


def _pool(telling: Mapping[str, Cell]) -> Pool:
    runs = [(name, run, each) for name, of in telling.items() for run, each in of.known]
    means = {name: float(np.mean(of.values)) for name, of in telling.items()}
    return Pool(
        sandboxes=tuple(telling),
        runs=tuple(f"{name} {run.seed}" for name, run, _ in runs),
        off=tuple(each.value / means[name] - 1 for name, _, each in runs),
        degrees=len(runs) - len(telling),
    )


def spread_rows(
    problem: Problem, cells: Mapping[str, Cells], pooled: Mapping[str, Pool]
) -> list[Row]:
    """Returns what tells how far each sandbox's machine varies, of all that is ranked and varies.

    Args:
        problem: what is ranked.
        cells: of its sandboxes.
        pooled: of `pools`.

    Returns:
        Rows of `sandbox`, `criterion`, `spread_from` (one of `SOURCES`), `relative_deviation`, and
        what that is of: `degrees_of_freedom` (None where it is assumed) and `over` (sandboxes).
    """
    return [
        {"sandbox": sandbox, "criterion": criterion.name, **_told(sandbox, criterion, of, pooled)}
        for sandbox in problem.sandboxes
        for criterion in problem.criteria
        if criterion.varies and (of := cells[sandbox][criterion.name]).values
    ]


def _told(sandbox: str, criterion: Criterion, of: Cell, pooled: Mapping[str, Pool]) -> Row:
    pool, source = pooled.get(criterion.name), POOLED
    if spread_is_told(of):
        pool, source = _pool({sandbox: of}), OWN
    return {
        "spread_from": source if pool else ASSUMED,
        "relative_deviation": pool.deviation if pool else ASSUMED_SPREAD,
        "degrees_of_freedom": pool.degrees if pool else None,
        "over": list(pool.sandboxes) if pool else [],
    }


def of_two_runs(row: Mapping[str, Any]) -> bool:
    """Returns whether a spread was pooled over two runs alone, of one degree of freedom."""
    return bool(row["spread_from"] == POOLED and row["degrees_of_freedom"] == 1)


def spread_cautions(rows: Iterable[Mapping[str, Any]], cells: Mapping[str, Cells]) -> list[Row]:
    """Returns of which `sandboxes` a spread was pooled `over` others, and of which it is assumed.

    With the `criteria` in question. What sandboxes measured of themselves weakens nothing, unless
    they have two values alone: neither their interval nor a spread that is pooled from them, of one
    degree of freedom, tells much.

    Args:
        rows: of `spread_rows`.
        cells: of every sandbox.
    """
    known = list(rows)
    pooled = [row for row in known if row["spread_from"] == POOLED]
    of_kinds: dict[str, Sequence[Mapping[str, Any]]] = {
        "two_seeds": [
            {"sandbox": sandbox, "criterion": criterion, "over": ()}
            for sandbox, of in cells.items()
            for criterion, each in of.items()
            if each.basis == SEEDS and len(each.values) == 2
        ],
        "spread_pooled": pooled,
        "spread_of_two_runs": [row for row in known if of_two_runs(row)],
        "spread_assumed": [row for row in known if row["spread_from"] == ASSUMED],
    }
    found = []
    for kind, of in of_kinds.items():
        if of:
            row = {"kind": kind, "sandboxes": each_of(of, "sandbox")}
            row |= {"criteria": each_of(of, "criterion")}
            over = {name for row in of for name in row["over"]}
            found.append(row | ({"over": sorted(over)} if over else {}))
    return found


def each_of(rows: Sequence[Mapping[str, Any]], field: str) -> list[str]:
    """Returns what stands in a field of some rows, once each, in their order."""
    return list(dict.fromkeys(row[field] for row in rows))
