"""What an audit adds to a measurement: levels, probes, and what was measured of each control."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from fed_assets.posture.evidence import Outcome
from fed_assets.posture.ladders import AT_REST, HIGHEST, IN_TRANSIT, IN_USE, LADDERS

# The ladder that shows what a control comes to.
MEASURED_BY = {
    "transport": IN_TRANSIT,
    "storage": AT_REST,
    "key_custody": AT_REST,
    "process": IN_USE,
    "job_code": IN_USE,
    "update_protection": IN_USE,
}


def with_security(record: dict[str, Any], posture: Mapping[str, Any] | None) -> dict[str, Any]:
    """Returns a measurement with what the sandbox's last audit showed.

    An audit of other controls than the run's tells nothing of it, and counts as none.

    Args:
        record: the measurement.
        posture: the audit's, of `Posture.as_record`; None where there was none.
    """
    declared = {name: each["declared"] for name, each in record["controls"].items()}
    if posture is None or any(
        declared.get(name) != value
        for name, value in posture["controls"].items()
        if name in MEASURED_BY
    ):
        return record | {"security": {**record["security"], "keeps_its_word": None}}
    outcomes = Counter(probe["outcome"] for probe in posture["probes"])
    return record | {
        "security": {
            **record["security"],
            "keeps_its_word": posture["keeps_its_word"],
            **{ladder: posture[ladder] for ladder in LADDERS},
            "probes": {str(outcome): outcomes[outcome] for outcome in Outcome},
        },
        "controls": {
            name: {**each, "measured": _measured(posture, name)}
            for name, each in record["controls"].items()
        },
    }


def _measured(posture: Mapping[str, Any], control: str) -> dict[str, Any] | None:
    ladder = MEASURED_BY.get(control)
    return {"ladder": ladder, "level": posture[ladder], "highest": HIGHEST} if ladder else None
