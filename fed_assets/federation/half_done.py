"""What is of no use in a federation's folder once its processes have ended.

Private keys, and what a killed process may have left half done: no record of a run.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from fed_assets.federation.provision import WORKSHOP
from fed_assets.federation.site import SITES, TEMPORARY

_HALF_DONE = (
    WORKSHOP,
    f"{TEMPORARY}/*",
    f"{SITES}/*/startup/*.key",
    f"{SITES}/*/startup/*.pfx",
    "outbox/.*.partial",
    "outbox/rounds/.*.partial",
    "lost/.*.partial",
)


def clear_half_done(folder: Path) -> None:
    """Removes it, once no process works in the folder any more; what cannot be removed stays."""
    for pattern in _HALF_DONE:
        for path in folder.glob(pattern):
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)
