"""Of what a comparison assumes a doubt, because nothing that was measured tells it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from fed_assets.comparison.cells import Cell
from fed_assets.comparison.criterion import Criterion
from fed_assets.comparison.matrix import Cells
from fed_assets.comparison.ranking import Problem

Pairs = list[dict[str, str]]


def pairs_where(
    holds: Callable[[Criterion, Cell], bool], problem: Problem, cells: Mapping[str, Cells]
) -> Pairs:
    """Returns `sandbox` and `criterion` of the cells of which something holds.

    Args:
        holds: `cells.spread_is_assumed` or `cells.doubt_is_unknown`.
        problem: what is ranked.
        cells: of its sandboxes.
    """
    return [
        {"sandbox": sandbox, "criterion": criterion.name}
        for sandbox in problem.sandboxes
        for criterion in problem.criteria
        if holds(criterion, cells[sandbox][criterion.name])
    ]


def assumed_cautions(
    unknown: Sequence[Mapping[str, str]], gaps: Sequence[Mapping[str, str]]
) -> list[dict[str, Any]]:
    """Returns the cautions of what is assumed, one per kind and criterion, with its `sandboxes`.

    Args:
        unknown: `sandbox` and `criterion` of what is of unknown doubt.
        gaps: those of what was not measured, and counts as the worst that was.
    """
    return [
        {
            "kind": kind,
            "criterion": criterion,
            "sandboxes": [each["sandbox"] for each in pairs if each["criterion"] == criterion],
        }
        for kind, pairs in (("doubt_unknown", unknown), ("counted_as_worst", gaps))
        for criterion in dict.fromkeys(each["criterion"] for each in pairs)
    ]
