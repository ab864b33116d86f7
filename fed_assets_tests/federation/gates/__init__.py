"""Modules that are not loaded before a test lets them."""

from __future__ import annotations

import time
from pathlib import Path

MOST_SECONDS = 60.0


def wait(name: str) -> None:
    """Waits until a file of that name lies in the working directory."""
    deadline = time.monotonic() + MOST_SECONDS
    while not Path(name).exists():
        if time.monotonic() > deadline:
            raise TimeoutError(f"nobody opens the gate {name!r}")
        time.sleep(0.01)
