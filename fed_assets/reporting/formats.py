"""How numbers are written: the same on every page, table and picture."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

METRIC_NAMES = {
    "auroc": "AUROC",
    "accuracy": "Accuracy",
    "balanced_accuracy": "Balanced accuracy",
    "precision": "Precision",
    "sensitivity": "Sensitivity",
    "specificity": "Specificity",
    "f1": "F1",
    "expected_calibration_error": "Expected calibration error",
}
UNDEFINED = "undefined (one class only)"
SUPPRESSED = "suppressed"  # a hospital's answer holds it in place of a count


def number(value: float | None) -> str:
    """Returns three decimals.

    >>> number(0.96649)
    '0.966'
    """
    return UNDEFINED if value is None else f"{value:.3f}"


def value(metric: Mapping[str, Any]) -> str:
    """Returns a metric without its interval, or why there is none.

    >>> value({"value": None, "suppressed": True})
    'suppressed'
    """
    return SUPPRESSED if metric.get("suppressed") else number(metric.get("value"))


def bounds(metric: Mapping[str, Any]) -> str:
    """Returns a metric's 95 % interval, or nothing where it has none."""
    if metric.get("low") is None or metric.get("high") is None:
        return ""
    return f"{metric['low']:.3f}\N{EN DASH}{metric['high']:.3f}"


def interval(metric: Mapping[str, Any]) -> str:
    """Returns a metric with its 95 % interval.

    >>> interval({"value": 0.966, "low": 0.951, "high": 0.979})
    '0.966 (0.951–0.979)'
    """  # noqa: RUF002
    within = bounds(metric)
    if metric.get("value") is None or not within:
        return value(metric)
    return f"{number(metric['value'])} ({within})"


def size(count: float | None) -> str:
    """Returns a number of bytes in decimal units.

    >>> size(1_240_000)
    '1.2 MB'
    """
    if count is None:
        return "not recorded"
    for unit, factor in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count >= factor:
            return f"{count / factor:.1f} {unit}"
    return f"{count:.0f} B"


def duration(seconds: float | None) -> str:
    """Returns seconds, with minutes and hours where there are any.

    >>> duration(3.21), duration(95), duration(3720)
    ('3.2 s', '1 min 35 s', '1 h 2 min')
    """
    if seconds is None:
        return "not recorded"
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s"


def short_digest(digest: str | None) -> str:
    """Returns the first twelve characters of a digest."""
    return (digest or "")[:12] or "not recorded"


def date(created: str) -> str:
    """Returns an ISO 8601 time to the minute; anything else as it stands.

    >>> date("2026-03-05T14:22:31+00:00")
    '2026-03-05 14:22 UTC'
    """
    try:
        moment = datetime.fromisoformat(created)
    except ValueError:
        return created
    return f"{moment:%Y-%m-%d %H:%M} {moment.tzname() or ''}".rstrip()


def count(value: float | str | None) -> str:
    """Returns a whole number with thousands separated; what is said in place of one, as it is.

    >>> count(5232)
    '5,232'
    """
    if isinstance(value, str):
        return value
    return "not recorded" if value is None else f"{value:,.0f}"


def ranges(numbers: list[int]) -> str:
    """Returns ascending whole numbers with neighbours joined.

    >>> ranges([2, 3, 4, 9])
    '2-4, 9'
    """
    runs: list[list[int]] = []
    for each in numbers:
        if runs and each == runs[-1][-1] + 1:
            runs[-1].append(each)
        else:
            runs.append([each])
    return ", ".join(f"{run[0]}-{run[-1]}" if len(run) > 1 else f"{run[0]}" for run in runs)
