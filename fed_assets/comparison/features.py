"""The feature table: what each sandbox declares, what enforces it, and what was measured of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from fed_assets.comparison.measurements import Record

# The ladder whose attempts show what a control comes to; no attempt measures another one.
MEASURED_BY = {
    "transport": "in_transit",
    "storage": "at_rest",
    "key_custody": "at_rest",
    "process": "in_use",
    "job_code": "in_use",
    "update_protection": "in_use",
}


def audited(posture: Mapping[str, Any], controls: Mapping[str, Any]) -> bool:
    """Returns whether an audit was of these controls, as far as its attempts measure any.

    What only one of the two names speaks against it.

    Args:
        posture: what the audit showed.
        controls: their values.
    """
    known = posture["controls"]
    return all(controls.get(name) == known.get(name) for name in MEASURED_BY)


def feature_rows(records: Mapping[str, Sequence[Record]]) -> list[dict[str, Any]]:
    """Returns a row per control and sandbox: `declared`, `enforced`, `measured`, `measured_by`.

    `declared` has all the values that runs of one sandbox declare, so that a control that was
    changed between them does not pass as one. `enforced` is true where it was in every run that
    says so, and null where none does. `measured` has what audits showed: each a `ladder`, the
    `level` on it, and the `highest`. `measured_by` is the ladder that shows what
    the control comes to; None where no attempt measures it.

    Args:
        records: by sandbox; one without any has rows of nothing.
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
    enforced = [each["enforced"] for each in found if each.get("enforced") is not None]
    measured: list[Any] = []
    for each in found:
        if each.get("measured") is not None and each["measured"] not in measured:
            measured.append(each["measured"])
    return {
        "declared": list(
            dict.fromkeys(str(each["declared"]) for each in found if each.get("declared"))
        ),
        "enforced": all(enforced) if enforced else None,
        "measured": measured,
        "measured_by": MEASURED_BY.get(control),
    }
