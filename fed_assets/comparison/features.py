"""The feature table: what each sandbox declares, what enforces it, and what was measured of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from fed_assets.comparison.measurements import Record

SAID = ("declared", "enforced", "measured")


def feature_rows(records: Mapping[str, Sequence[Record]]) -> list[dict[str, Any]]:
    """Returns one row per control and sandbox: `declared`, `enforced`, `measured`.

    Where runs of one sandbox say different things, all that they say stands there, so that a
    control that was changed between them does not pass as one.

    Args:
        records: by sandbox; one without any has rows of null.
    """
    controls = list(
        dict.fromkeys(
            control
            for runs in records.values()
            for run in runs
            for control in run.get("controls") or {}
        )
    )
    return [
        {"control": control, "sandbox": sandbox, **_said(control, runs)}
        for control in controls
        for sandbox, runs in records.items()
    ]


def _said(control: str, runs: Sequence[Record]) -> dict[str, Any]:
    found = [(run.get("controls") or {}).get(control) or {} for run in runs]
    said = {}
    for what in SAID:
        words = dict.fromkeys(str(each[what]) for each in found if each.get(what) is not None)
        said[what] = "; ".join(words) or None
    return said
