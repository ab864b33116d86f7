"""What the attempts on one federation came to: written as they are made, read by whoever asked.

<folder>/observed.json    {"attempt": {NAME: ...}, "control": {NAME: ...}, "failure": RECORD}
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fed_assets.errors import FedAssetsError, JobFailed, error_from_record
from fed_assets.posture.evidence import Attempt

NOTES_FILE = "observed.json"


class Notes:
    """Takes attempts and controls, one after another, and keeps them in a folder's file."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / NOTES_FILE
        self._noted: dict[str, Any] = {"attempt": {}, "control": {}, "failure": None}
        self._last = time.monotonic()

    def begin(self) -> None:
        """Has the next attempt's time start now, and not with the end of the last one."""
        self._last = time.monotonic()

    def attempt(self, name: str, attempt: Attempt) -> None:
        """Notes an attempt."""
        self._note("attempt", name, attempt)

    def control(self, name: str, attempt: Attempt) -> None:
        """Notes the control of an attempt, made beside it."""
        self._note("control", name, attempt)

    def failure(self, error: FedAssetsError) -> None:
        """Notes why no more attempts are made."""
        self._noted["failure"] = error.as_record()
        self._write()

    def _note(self, kind: str, name: str, attempt: Attempt) -> None:
        now = time.monotonic()
        self._noted[kind][name] = {
            "succeeded": attempt.succeeded,
            "counts": dict(attempt.counts),
            "seconds": now - self._last,
        }
        self._last = now
        self._write()

    def _write(self) -> None:
        partial = self._file.with_suffix(".partial")
        partial.write_text(json.dumps(self._noted))
        partial.replace(self._file)


class Observed:
    """What was noted in a folder."""

    def __init__(self, folder: Path) -> None:
        try:
            self._noted: Mapping[str, Any] = json.loads((folder / NOTES_FILE).read_text())
        except FileNotFoundError:
            self._noted = {"attempt": {}, "control": {}, "failure": None}

    def look_up(self, kind: str, name: str) -> Attempt:
        """Returns an `attempt` or a `control`.

        Raises:
            FedAssetsError: Why it was not made.
        """
        noted = self._noted[kind].get(name)
        if noted is None:
            failure = self._noted["failure"]
            raise error_from_record(failure) if failure else JobFailed(f"No {kind} {name} was made")
        return Attempt(noted["succeeded"], noted["counts"])

    def seconds(self, kind: str, name: str) -> float:
        """Returns how long it took; 0 where it was not made."""
        return float(self._noted[kind].get(name, {}).get("seconds", 0.0))
