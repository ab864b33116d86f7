"""One digest of the files of a package, by name and content, with git or without."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

CACHES = "__pycache__"


def files_digest(folder: Path) -> str:
    """Returns a digest of every file of the package, by name and content."""
    digest = hashlib.sha256()
    for path in package_files(folder):
        if CACHES not in path.parts:
            name = path.relative_to(folder).as_posix()
            digest.update(f"{hashlib.sha256(path.read_bytes()).hexdigest()} {name}\n".encode())
    return digest.hexdigest()


def package_files(folder: Path) -> list[Path]:
    """Returns every file of the package, sorted."""
    # Python imports through links to folders, and so they are measured.
    found = os.walk(folder, followlinks=True)
    paths = (Path(place, name) for place, _, names in found for name in names)
    return sorted(path for path in paths if path.is_file())
