"""On what the benchmark ran: the machine, and the versions of what was compared."""

from __future__ import annotations

import json
import os
import platform
import subprocess
from importlib.metadata import version
from pathlib import Path
from typing import Any

import psutil

from benchmarks.federation.arms import ENVIRONMENT

PACKAGES = ("fed_assets", "nvflare", "torch", "numpy", "grpcio", "dagster", "monai")
FLOWER_PACKAGES = ("flwr", "ray", "torch")


def machine() -> dict[str, Any]:
    """Returns what the figures depend on."""
    return {
        "system": platform.platform(),
        "processor": _processor(),
        "cores": os.cpu_count(),
        "memory_gb": round(psutil.virtual_memory().total / 1e9, 1),
        "torch_threads_per_process": 1,
        "allocator_of_every_arm": {
            name: value for name, value in ENVIRONMENT.items() if name.startswith("MALLOC_")
        },
        "cpu_seconds": "of the process tree; machine_cpu_seconds: of all that ran meanwhile; "
        "stolen_cpu_seconds: what the host gave to other machines",
        "memory": "proportional set size, summed over the process tree",
    }


def versions(flower_python: Path | None) -> dict[str, str]:
    """Returns the versions of Python and of what was compared, Flower's by its own interpreter."""
    found = {"python": platform.python_version(), **{name: version(name) for name in PACKAGES}}
    if flower_python is None:
        return found
    ask = "import json, sys; from importlib.metadata import version; "
    ask += "print(json.dumps({name: version(name) for name in sys.argv[1:]}))"
    answer = subprocess.run(
        [str(flower_python), "-c", ask, *FLOWER_PACKAGES],
        capture_output=True,
        check=True,
        text=True,
    )
    return json.loads(answer.stdout) | found


def _processor() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    return next((line.partition(":")[2].strip() for line in lines if "model name" in line), "")
