"""The decision matrix and the normalized ones, as rows for tables, CSV and heat maps.

A row is one criterion of one sandbox, or of one hospital in one sandbox. What was not measured has
a row with null, so that a table shows a gap where there is one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from fed_assets.comparison.batched import spread
from fed_assets.comparison.cells import Cell, cell
from fed_assets.comparison.criteria import OF_HOSPITALS, OF_SANDBOXES, criteria_of
from fed_assets.comparison.criterion import Criterion, read_hospital, read_sandbox
from fed_assets.comparison.measurements import Record

Row = dict[str, Any]
Cells = Mapping[str, Cell]  # by the criterion's name


def sandbox_cells(records: Iterable[Record]) -> dict[str, Cell]:
    """Returns the cells of one sandbox, over its runs."""
    runs = list(records)
    return {
        criterion.name: cell(criterion, [read_sandbox(criterion, each) for each in runs])
        for criterion in OF_SANDBOXES
    }


def decision_rows(cells: Mapping[str, Cells]) -> list[Row]:
    """Returns the decision matrix of sandboxes by criteria, normalized beside it.

    Args:
        cells: by sandbox; one without any cells was not measured, and has rows of null.
    """
    rows = [
        _row(criterion, of_sandbox.get(criterion.name), sandbox=sandbox)
        for sandbox, of_sandbox in cells.items()
        for criterion in OF_SANDBOXES
    ]
    return _normalized(rows)


def hospital_rows(records: Mapping[str, Sequence[Record]]) -> list[Row]:
    """Returns the matrix of hospitals by criteria of every sandbox, normalized beside it.

    All sandboxes share one scale, so that a hospital's figures of two sandboxes can be compared. A
    hospital that took part in one sandbox has rows, of null, in all.

    Args:
        records: by sandbox; of one that was not measured, none.
    """
    hospitals = sorted(
        {each for runs in records.values() for run in runs for each in run.get("hospitals") or {}}
    )
    rows = [
        _row(
            criterion,
            cell(criterion, [read_hospital(criterion, run, hospital) for run in runs]),
            sandbox=sandbox,
            hospital=hospital,
        )
        for sandbox, runs in records.items()
        for hospital in hospitals
        for criterion in OF_HOSPITALS
    ]
    return _normalized(rows)


def _row(criterion: Criterion, of: Cell | None, **names: str) -> Row:
    found = of or Cell(None, None, None, None, ())
    return {
        **names,
        "criterion": criterion.name,
        "group": criterion.group,
        "unit": criterion.unit,
        "better": "higher" if criterion.higher_is_better else "lower",
        **found.as_row(),
    }


def _normalized(rows: list[Row]) -> list[Row]:
    """Adds `normalized`: 0 is the worst of all rows of a criterion, 1 the best; null stays null.

    Where all are alike each is the best, 1; a difference that nobody would notice is none.
    """
    values: dict[str, list[float]] = {}
    for row in rows:
        if row["value"] is not None:
            values.setdefault(row["criterion"], []).append(row["value"])
    ends = {name: _ends(name, of) for name, of in values.items()}
    for row in rows:
        if row["value"] is None:
            row["normalized"] = None
            continue
        low, high = ends[row["criterion"]]
        worst, best = (low, high) if row["better"] == "higher" else (high, low)
        row["normalized"] = abs((row["value"] - worst) / (best - worst)) if best != worst else 1.0
    return rows


def _ends(name: str, values: Sequence[float]) -> tuple[float, float]:
    """Returns the least and the most of a criterion's values, or one for both where alike."""
    (criterion,) = criteria_of([name])
    low, high = min(values), max(values)
    told_apart = spread(np.array(values)[None, :, None], [criterion])[0, 0] > 0
    return (low, high) if told_apart else (high, high)


def grid(
    rows: Iterable[Mapping[str, Any]], *, by: str, field: str = "normalized"
) -> tuple[list[str], list[str], list[list[Any]]]:
    """Returns rows as a table: names down, criteria across, and the values between.

    Args:
        rows: of one matrix; of hospitals, those of one sandbox.
        by: what stands down, "sandbox" or "hospital".
        field: which of a row's entries stand between.

    >>> rows = [{"sandbox": "minimal", "criterion": "auroc", "normalized": 1.0}]
    >>> grid(rows, by="sandbox")
    (['minimal'], ['auroc'], [[1.0]])
    """
    known = list(rows)
    down = list(dict.fromkeys(row[by] for row in known))
    across = list(dict.fromkeys(row["criterion"] for row in known))
    found = {(row[by], row["criterion"]): row[field] for row in known}
    return down, across, [[found.get((name, column)) for column in across] for name in down]
