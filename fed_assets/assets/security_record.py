"""What an audit adds to a measurement: levels, probes, and what was measured of each control."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from fed_assets.comparison.features import MEASURED_BY, audited
from fed_assets.comparison.measurements import AUDITED, NO_AUDIT, OF_OTHER_CONTROLS
from fed_assets.comparison.stored import AUDIT_CURE, require_audited
from fed_assets.posture.evidence import Outcome
from fed_assets.posture.ladders import HIGHEST, LADDERS
from fed_assets.posture.posture import judged_again
from fed_assets.resources.artifact_store import read_whole
from fed_assets.resources.home import Home
from fed_assets.sandboxes.presets import SANDBOX_NAMES


def audits(home: Home) -> dict[str, dict[str, Any] | None]:
    """Returns what the last audit of each sandbox showed; None of one that was never audited.

    Raises:
        StorageError: it is damaged.
    """
    return {sandbox: audit_of(home, sandbox) for sandbox in SANDBOX_NAMES}


def audit_of(home: Home, sandbox: str) -> dict[str, Any] | None:
    """Returns what the last audit of a sandbox showed; None where there was none.

    Raises:
        StorageError: it is damaged.
    """
    path, cure = home.posture_record(sandbox), AUDIT_CURE.format(sandbox=sandbox)
    found = read_whole(path, what="What an audit showed", cure=cure)
    return None if found is None else require_audited(found, path, sandbox, judged_again)


def with_security(record: dict[str, Any], posture: Mapping[str, Any] | None) -> dict[str, Any]:
    """Returns a measurement with what the sandbox's last audit showed.

    An audit of other controls than the run's tells nothing of it, and says that it is one.

    Args:
        record: the measurement.
        posture: the audit's, of `Posture.as_record`; None where there was none.
    """
    declared = {name: each["declared"] for name, each in record["controls"].items()}
    if posture is None or not audited(posture, declared):
        audit = NO_AUDIT if posture is None else OF_OTHER_CONTROLS
        told = {"keeps_its_word": None, "audit": audit}
        return record | {"security": {**record["security"], **told}}
    outcomes = Counter(probe["outcome"] for probe in posture["probes"])
    return record | {
        "security": {
            **record["security"],
            "keeps_its_word": posture["keeps_its_word"],
            "audit": AUDITED,
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
