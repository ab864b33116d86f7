"""Hospitals whose processes ended before the last round: noted by the session, read by the server.

    <plan.folder>/lost/<hospital>.json    why it is lost, and where its console lies

A hospital that is lost stays lost for the run.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from fed_assets.federation.outbox import written

LOST_FOLDER = "lost"


@dataclass(frozen=True)
class Loss:
    """Why a hospital is lost.

    Attributes:
        reason: What ended, and how.
        console: The file that holds what its processes wrote last.
    """

    reason: str
    console: str


def note_lost(folder: Path, hospital: str, loss: Loss) -> None:
    """Notes a hospital as lost, in one step.

    Args:
        folder: The plan's folder.
        hospital: The hospital's id.
        loss: Why.

    Raises:
        StorageError: It could not be written.
    """
    target = folder / LOST_FOLDER / f"{hospital}.json"
    with written(f"The loss of {hospital}", target):
        target.parent.mkdir(exist_ok=True, mode=0o700)
        partial = target.with_name(f".{hospital}.partial")
        partial.write_text(json.dumps(asdict(loss)))
        partial.rename(target)


def read_lost(folder: Path) -> Mapping[str, Loss]:
    """Returns the lost hospitals of the run in a plan's folder."""
    return {
        note.stem: Loss(**json.loads(note.read_text()))
        for note in sorted((folder / LOST_FOLDER).glob("*.json"))
    }
