"""When and how a site's job process ended, written by the site and read by the session."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

ENDED_FILE = "job_ended.json"


def write_ended(workspace: Path, code: int | None) -> None:
    """Notes the exit code of a site's job process, in one step."""
    partial = workspace / f".{ENDED_FILE}"
    partial.write_text(json.dumps({"code": code, "at": time.time()}))
    partial.rename(workspace / ENDED_FILE)


def read_ended(workspace: Path) -> dict[str, Any] | None:
    """Returns `code` and `at` (seconds since 1970), or None while no job process has ended."""
    try:
        ended: dict[str, Any] = json.loads((workspace / ENDED_FILE).read_text())
    except FileNotFoundError:
        return None
    return ended
