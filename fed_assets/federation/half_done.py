"""What is of no use in a federation's folder once its processes have ended.

Private keys, and what a killed process may have left half done: no record of a run.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from fed_assets.federation.program import Program
from fed_assets.federation.provision import WORKSHOP
from fed_assets.federation.site import PLACES, SITES, TEMPORARY

_KEYS = ("startup/*.key", "startup/*.pfx", "startup/*.tenseal")
_HALF_DONE = (
    WORKSHOP,
    f"{TEMPORARY}/*",
    f"{PLACES}/*",
    *(f"{SITES}/*/{keys}" for keys in _KEYS),
    "outbox/.*.partial",
    "outbox/rounds/.*.partial",
    "lost/.*.partial",
)


def clear_half_done(folder: Path) -> None:
    """Removes it, once no process works in the folder any more; what cannot be removed stays."""
    _clear(folder, _HALF_DONE)


def clear_own_half_done(program: Program) -> None:
    """Removes what one site's process leaves: behind walls, its user alone can."""
    _clear(Path(program.folder), _KEYS)
    _clear(Path(program.temporary), ("*",))


def _clear(folder: Path, patterns: Iterable[str]) -> None:
    for path in (path for pattern in patterns for path in folder.glob(pattern)):
        if not path.parent.resolve().is_relative_to(folder.resolve()):
            continue  # a link leads elsewhere, and root may be who removes
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            with suppress(PermissionError):  # another user's, who removes it himself
                path.unlink(missing_ok=True)
