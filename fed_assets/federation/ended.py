"""When and how a site's process of one job ended, written by the site and read by the session."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

ENDED_FOLDER = "ended_jobs"


def write_ended(workspace: Path, job_id: str, code: int | None) -> None:
    """Notes the exit code of a site's process of a job, in one step."""
    folder = workspace / ENDED_FOLDER
    folder.mkdir(exist_ok=True)
    partial = folder / f".{job_id}"
    partial.write_text(json.dumps({"code": code, "at": time.time()}))
    partial.chmod(0o640)  # behind walls, the session is of the folder's group, and of no more
    partial.rename(folder / f"{job_id}.json")


def read_ended(workspace: Path, job_id: str) -> dict[str, Any] | None:
    """Returns `code` and `at` (seconds since 1970), or None while the process has not ended."""
    try:
        ended: dict[str, Any] = json.loads(
            (workspace / ENDED_FOLDER / f"{job_id}.json").read_text()
        )
    except FileNotFoundError:
        return None
    return ended


def told(code: int | None) -> str:
    """Returns how a process ended, in words.

    Args:
        code: Its exit code, `-N` after signal N; None where it could not be taken.
    """
    if code is None:
        return "exit code unknown"
    return f"exit code {code}" if code >= 0 else f"signal {-code}"
