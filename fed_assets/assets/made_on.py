"""The machine that this runs on, and the versions that count there."""

from __future__ import annotations

import os
import platform
from importlib.metadata import version
from typing import Any

PACKAGES = ("fed_assets", "dagster", "nvflare", "torch", "monai", "great-expectations", "mlflow")


def versions() -> dict[str, str]:
    """Returns the versions of Python and of the packages that figures depend on."""
    return {"python": platform.python_version()} | {name: version(name) for name in PACKAGES}


def machine() -> dict[str, Any]:
    """Returns the system and its number of cores."""
    return {"system": platform.platform(), "cores": os.cpu_count()}
