"""The references on the comparison's page: what they reach, and what federation gains over them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from fed_assets.comparison.references import AGAINST, METRICS
from fed_assets.reporting.comparison_words import Words

Row = Mapping[str, Any]


def reference_tables(record: Mapping[str, Any], words: Words) -> dict[str, Any]:
    """Returns the rows of a comparison's references, laid out as the page has them.

    Args:
        record: of `Comparison.as_record`.
        words: of the page.

    Returns:
        `metrics`, and `columns` of the gains, as (against, metric); `models`, a name, a sandbox or
        None, and rows by metric, each; `gains`, rows by column of each sandbox; `hospitals`, by
        metric, hospital and sandbox; `not_compared`, each reason and the runs that it concerns;
        whether there is but `one_seed` of something.
    """
    found = record["references"]
    of_all = [row for row in found["gains"] if row["hospital"] is None]
    of_each = [row for row in found["gains"] if row["hospital"] is not None]
    return {
        "metrics": METRICS,
        "columns": [(against, metric) for against in AGAINST for metric in METRICS],
        "models": [
            (
                words.page["references"]["models"][model],
                sandbox,
                {row["metric"]: row for row in rows},
            )
            for (model, sandbox), rows in _grouped(found["models"], "model", "sandbox").items()
        ],
        "gains": {
            sandbox: {(row["against"], row["metric"]): row for row in rows}
            for (sandbox,), rows in _grouped(of_all, "sandbox").items()
        },
        "hospitals": {
            metric: {
                hospital: {row["sandbox"]: row for row in rows}
                for (hospital,), rows in sorted(_grouped(of_metric, "hospital").items())
            }
            for (metric,), of_metric in _grouped(of_each, "metric").items()
        },
        "not_compared": _reasons(found["not_compared"], words),
        "one_seed": any(row["runs"] == 1 for row in found["gains"]),
    }


def _grouped(rows: Iterable[Row], *keys: str) -> dict[tuple[Any, ...], list[Row]]:
    found: dict[tuple[Any, ...], list[Row]] = {}
    for row in rows:
        found.setdefault(tuple(row[key] for key in keys), []).append(row)
    return found


def _reasons(runs: Iterable[Row], words: Words) -> list[tuple[str, list[str]]]:
    return [
        (
            words.page["references"]["why_not"][why_not],
            [f"{each['sandbox']} ({words.page['seed']} {each['seed']})" for each in concerned],
        )
        for (why_not,), concerned in _grouped(runs, "why_not").items()
    ]
