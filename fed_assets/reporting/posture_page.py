"""A sandbox's posture as one self-contained HTML page."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fed_assets.reporting.page import templates

LADDER_NAMES = {"at_rest": "At rest", "in_transit": "In transit", "in_use": "In use"}


def render_posture(posture: Mapping[str, Any]) -> str:
    """Returns it as HTML that opens from a file, on paper and on a phone.

    Args:
        posture: What `Posture.as_record` returns.
    """
    environment = templates()
    environment.filters.update(counted=counted, rung=rung)
    outcomes = [probe["outcome"] for probe in posture["probes"]]
    return environment.get_template("posture.html.j2").render(
        posture=posture,
        ladder_names=LADDER_NAMES,
        passed=outcomes.count("passed"),
        failed=outcomes.count("failed"),
        inconclusive=outcomes.count("inconclusive"),
    )


def counted(counts: Mapping[str, Any]) -> str:
    """Returns counts as a phrase.

    Examples:
        >>> counted({"read": 0, "denied": 12})
        '0 read, 12 denied'
        >>> counted({"opened": 0, "answer": "it has expired"})
        '0 opened, answer: it has expired'
        >>> counted({"connected_anew": 1})
        '1 connected anew'
        >>> counted({"members": 180, "auc": 0.548})
        '180 members, auc: 0.548'
        >>> counted({})
        'nothing'
    """
    told = []
    for key, value in counts.items():
        name = key.replace("_", " ")
        told.append(f"{value} {name}" if isinstance(value, int) else f"{name}: {value}")
    return ", ".join(told) or "nothing"


def rung(level: int) -> str:
    """Returns the level that an attempt is for, or that no level depends on it."""
    return str(level) if level else "beside"
