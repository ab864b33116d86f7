"""Federated learning on medical images as Dagster assets, in five measured security sandboxes.

`dagster job execute -m fed_assets` finds `defs` here. It is loaded when asked for and not before,
because a hospital's process imports this package too and must not load the orchestrator.
"""

from __future__ import annotations

import os
from types import ModuleType
from typing import Any

__version__ = "0.1.0"
__all__ = ["__version__", "defs"]


def __getattr__(name: str) -> Any:
    if name == "defs":
        globals()["defs"] = wiring().load()
        return globals()["defs"]
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def wiring() -> ModuleType:
    """Returns the module that loads `defs`, with all that it imports, and has it load nothing."""
    # numpy would start threads as soon as it is imported, and a process is confined as a whole
    # only while it has one.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    from fed_assets import definitions

    return definitions


def __dir__() -> list[str]:
    return sorted({*globals(), "defs"})
