"""What a benchmark writes down beside its figures, and where."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any


def write_record(path: Path, figures: Mapping[str, Any], packages: tuple[str, ...]) -> None:
    """Writes figures as JSON, with the machine, the time, and the versions of some packages.

    The file holds the whole of it or what it held before.
    """
    record = {
        **figures,
        "machine": {"system": platform.platform(), "cpus": os.cpu_count()},
        "versions": {
            "python": platform.python_version(),
            **{name: version(name) for name in packages},
        },
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.partial")
    partial.write_text(json.dumps(record, indent=1) + "\n")
    partial.replace(path)
