"""Signs that somebody holds a copy of a hospital's certificate: noted by the server, read outside.

<server's workspace>/alarms/<hospital>.json    what was seen, and when
"""

from __future__ import annotations

import json
import os
from collections.abc import Collection, Mapping
from datetime import UTC, datetime
from pathlib import Path

from fed_assets.errors import KitCopied
from fed_assets.federation.policies import ALARMS, Kits


def note_alarm(folder: Path, hospital: str, seen: str) -> None:
    """Notes an alarm over a hospital in one step, readable by this user alone; the first one stays.

    Raises:
        OSError: It could not be written.
    """
    target = folder / f"{hospital}.json"
    if target.exists():
        return
    folder.mkdir(exist_ok=True, mode=0o700)
    partial = folder / f".{hospital}.partial"
    note = {"seen": seen, "at": datetime.now(UTC).isoformat(timespec="seconds")}
    with open(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        json.dump(note, file)
    partial.rename(target)


def read_alarms(kits: Kits) -> Mapping[str, str]:
    """Returns what was seen of each hospital over which there is an alarm, and when."""
    notes = {
        note.stem: json.loads(note.read_text()) for note in (kits.server / ALARMS).glob("*.json")
    }
    return {name: f"{note['seen']}, at {note['at']}" for name, note in sorted(notes.items())}


def fail_on_alarm(kits: Kits, *, but_for: Collection[str] = ()) -> None:
    """Ends a run whose hospitals are not surely themselves.

    Args:
        kits: Where the server's workspace lies.
        but_for: Hospitals that take no part in the run any more, whoever they are.

    Raises:
        KitCopied: There is an alarm.
    """
    if alarms := {name: seen for name, seen in read_alarms(kits).items() if name not in but_for}:
        names = ", ".join(alarms)
        raise KitCopied(
            f"Somebody else logged in with the certificate of {names}",
            where=str(kits.server / ALARMS),
            seen="; ".join(f"{name}: {seen}" for name, seen in alarms.items()),
        )
