"""How numbers are written: the same on every page, table and picture."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import datetime
from functools import wraps
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
BYTE_UNITS = ((1e9, "GB"), (1e6, "MB"), (1e3, "kB"))
WRITTEN_UNITS = ("s", "J", "B", "kB", "MB", "GB")
SUPPRESSED = "suppressed"  # a hospital's answer holds it in place of a count
NO_BREAK = "\N{NO-BREAK SPACE}"
NOT_RELEASED = "not released"  # what would cost privacy that no budget counts


def number(value: float | None) -> str:
    """Returns three decimals; what rounds to zero has no sign.

    >>> number(0.96649), number(-0.0001)
    ('0.966', '0.000')
    """
    return UNDEFINED if value is None else f"{value:z.3f}"


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
    for factor, unit in BYTE_UNITS:
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


def significant(value: float) -> str:
    """Returns three significant digits, and all those before the point.

    >>> significant(1234.5), significant(12.345), significant(0.0123), significant(3.0)
    ('1234', '12.3', '0.0123', '3')
    """
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"


def numbers(record: Mapping[str, Any]) -> str:
    """Returns what goes with a control's value, by the names that a sandbox's YAML has for it.

    >>> numbers({"kind": "differential_privacy", "epsilon": 8.0, "delta": 1e-05})
    'epsilon 8, delta 1e-05'
    """
    return ", ".join(
        f"{name} {value}" if isinstance(value, str) else f"{name} {value:g}"
        for name, value in record.items()
        if name != "kind"
    )


def quantity(value: float, unit: str) -> str:
    """Returns a measured value of a comparison, with a unit of time, bytes or energy.

    Of levels, shares, prices and steps the criterion's name says what they are.

    >>> quantity(115.04, "s"), quantity(2_070_000_000, "B"), quantity(0.97912, "share")
    ('115 s', '2.07 GB', '0.979')
    >>> quantity(3.0, "level"), quantity(0.0, "B")
    ('3', '0 B')
    """
    if unit == "share":
        return number(value)
    if unit == "B":
        factor, unit = next((of for of in BYTE_UNITS if value >= of[0]), (1.0, "B"))
        value /= factor
    return f"{significant(value)} {unit}" if unit in WRITTEN_UNITS else significant(value)


def percents(share: float, digits: int = 0) -> str:
    """Returns a share in per cent.

    >>> percents(0.1375, 1)
    '13.8 %'
    """
    return f"{100 * share:.{digits}f} %"


def chance(share: float) -> str:
    """Returns a share of draws, which are too few to say all of them, or none.

    >>> chance(0.973), chance(0.999), chance(0.0)
    ('97 %', '>99 %', '<1 %')
    """
    if share > 0.99:
        return ">99 %"
    return "<1 %" if share < 0.01 else percents(share)


def signed(value: float) -> str:
    """Returns two decimals with the sign.

    >>> signed(0.5), signed(-0.204)
    ('+0.50', '-0.20')
    """
    return f"{value:+z.2f}"


def difference(value: float) -> str:
    """Returns three decimals with the sign; what rounds to zero has a plus.

    >>> difference(0.0357), difference(-0.0014), difference(-0.0001)
    ('+0.036', '-0.001', '+0.000')
    """
    return f"{value:+z.3f}"


def shade(value: float) -> str:
    """Returns what a cell of a heat map has room for: two decimals.

    >>> shade(0.966)
    '0.97'
    """
    return f"{value:.2f}"


def localized(write: Callable[..., str], language: str) -> Callable[..., str]:
    """Returns one of these functions, that writes a number as a language does, on one line.

    Args:
        write: the function, whose points between digits are decimal ones.
        language: "en" or "es", which has a decimal comma.

    >>> localized(number, "es")(0.5), localized(number, "en")(0.5)
    ('0,500', '0.500')
    >>> localized(percents, "en")(0.1375, 1) == "13.8\N{NO-BREAK SPACE}%"
    True
    """

    @wraps(write)
    def written(*values: Any) -> str:
        text = re.sub(r"(?<=\d) ", NO_BREAK, write(*values))
        return re.sub(r"(?<=\d)\.(?=\d)", ",", text) if language == "es" else text

    return written
