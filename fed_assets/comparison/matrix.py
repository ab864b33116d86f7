"""The decision matrix and the normalized ones, as rows for tables, CSV and heat maps.

A row is one criterion of one sandbox, or of one hospital in one sandbox. What was not measured has
a row with null, so that a table shows a gap where there is one.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from fed_assets.comparison.batched import spread
from fed_assets.comparison.cells import Cell, Run, cell
from fed_assets.comparison.criteria import OF_HOSPITALS, OF_SANDBOXES, criteria_of
from fed_assets.comparison.criterion import Criterion, read_hospital, read_sandbox
from fed_assets.comparison.measurements import Record

Row = dict[str, Any]
Cells = Mapping[str, Cell]  # by the criterion's name


def sandbox_cells(records: Iterable[Record]) -> dict[str, Cell]:
    """Returns the cells of one sandbox, over its runs."""
    known = list(records)
    runs = [Run(each["seed"], _model_of(each)) for each in known]
    return {
        criterion.name: cell(criterion, [read_sandbox(criterion, each) for each in known], runs)
        for criterion in OF_SANDBOXES
    }


def _model_of(record: Record) -> str | None:
    """Returns what says by which weights a run was measured, and on which data."""
    weights, data = (record.get("model") or {}).get("weights"), record.get("data") or {}
    return f"{weights} {data.get('digest')} {data.get('test_digest')}" if weights else None


def decision_rows(
    cells: Mapping[str, Cells],
    *,
    ranked: Collection[str] = (),
    criteria: Iterable[Criterion] = (),
) -> list[Row]:
    """Returns the decision matrix of sandboxes by criteria, normalized beside it.

    Of those that are ranked it is normalized as TOPSIS and VIKOR do it: from the worst of them, 0,
    to the best, 1. Another stands on the same scale, at its end where it lies beyond. Where fewer
    than two are ranked, the scale is that of all that were measured.

    Args:
        cells: by sandbox; one without any cells was not measured, and has rows of null.
        ranked: the sandboxes that may win.
        criteria: as they are ranked by, where their `pairs_apart` are known.
    """
    rows = [
        _row(criterion, of_sandbox.get(criterion.name), sandbox=sandbox)
        for sandbox, of_sandbox in cells.items()
        for criterion in OF_SANDBOXES
    ]
    return _normalized(rows, ranked if len(ranked) > 1 else (), criteria)


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
    found = of or cell(criterion, ())
    return {
        **names,
        "criterion": criterion.name,
        "group": criterion.group,
        "unit": criterion.unit,
        "better": "higher" if criterion.higher_is_better else "lower",
        **found.as_row(),
    }


def _normalized(
    rows: list[Row], ranked: Collection[str] = (), criteria: Iterable[Criterion] = ()
) -> list[Row]:
    """Adds `normalized`: 0 is the worst of a criterion's rows, 1 the best; null stays null.

    Where all are alike each is the best, 1; a difference that nobody would notice is none, nor is
    one that chance alone may have made (`by_chance`). One that makes no scale is then the worst, 0,
    where it lies beyond them by more than that, with its interval beyond all of theirs.

    Args:
        rows: of one matrix.
        ranked: the sandboxes that make the scale; all, where it is empty.
        criteria: those that are not as they are everywhere.
    """
    given = {each.name: each for each in criteria}
    for criterion in criteria_of(row["criterion"] for row in rows):
        criterion = given.get(criterion.name, criterion)
        own = [row for row in rows if row["criterion"] == criterion.name]
        for row in own:
            row["normalized"] = None
        known = [row for row in own if row["value"] is not None]
        of_scale = [row for row in own if row["sandbox"] in ranked]
        values = [row["value"] for row in of_scale if row["value"] is not None]
        gaps = len(of_scale) - len(values) if values else 0
        values = values or [row["value"] for row in known]
        if not values:
            continue
        least, most = min(values), max(values)
        worst, best = (least, most) if criterion.higher_is_better else (most, least)
        # In the ranking each gap stands at the worst, which counts for what is noticed.
        alike = not _told_apart(criterion, values + [worst] * gaps)
        for row in known:
            value = row["value"]
            if alike:
                noticed = _told_apart(replace(criterion, pairs_apart=None), [value, worst])
                row["normalized"] = float(not (noticed and _is_beyond(row, of_scale or known)))
            else:
                row["normalized"] = min(1.0, max(0.0, (value - worst) / (best - worst)))
    return rows


def _is_beyond(row: Row, others: Iterable[Row]) -> bool:
    """Returns whether a row is worse than all others, and its interval beyond all of theirs."""
    best, worst = ("high", "low") if row["better"] == "higher" else ("low", "high")
    own = row["value"] if row[best] is None else row[best]
    ends = [
        each["value"] if each[worst] is None else each[worst]
        for each in others
        if each["value"] is not None
    ]
    return bool(own < min(ends) if row["better"] == "higher" else own > max(ends))


def _told_apart(criterion: Criterion, values: Sequence[float]) -> bool:
    return bool(spread(np.array(values)[None, :, None], [criterion])[0, 0] > 0)


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
