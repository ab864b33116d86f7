"""At which hospital a model is at its worst: the one whose sensitivity a measurement tells."""

from __future__ import annotations

from typing import Any

from fed_assets.comparison.measurements import Record

WORST = "worst_sensitivity"  # as measurements call it
METRIC = "sensitivity"


def worst_figure(record: Record) -> Any:
    """Returns the sensitivity at the worst hospital of a measurement, None where it has none."""
    return (record.get("quality") or {}).get(WORST)


def worst_hospital(record: Record) -> str | None:
    """Returns whose that is, the first of those alike; None where nobody told it."""
    figure, hospitals = worst_figure(record), record.get("hospitals") or {}
    alike = (name for name in sorted(hospitals) if hospitals[name].get(METRIC) == figure)
    return None if figure is None else next(alike, None)
