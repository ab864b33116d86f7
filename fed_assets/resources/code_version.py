"""Which code runs: the package's number, and a digest of its sources, which says more."""

from __future__ import annotations

import hashlib
from importlib.metadata import version
from pathlib import Path

import fed_assets

DIGITS = 12


def code_version(folder: Path | None = None) -> str:
    """Returns the number of fed_assets with the first digits of its sources' sha256.

    Args:
        folder: The package's; that of this process if None.
    """
    folder = folder or Path(fed_assets.__file__).parent
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        if path.is_file() and "__pycache__" not in path.parts:
            name, content = path.relative_to(folder).as_posix(), path.read_bytes()
            digest.update(f"{len(name)} {name} {len(content)} ".encode() + content)
    return f"{version('fed_assets')}+{digest.hexdigest()[:DIGITS]}"
