"""Which code a run is of: the package's number, and a digest of its files, with git or without."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path

import fed_assets
from fed_assets.privacy.code_digest import files_digest

DIGITS = 12


def package_digest(folder: Path | None = None) -> str:
    """Returns the digest, of the files as they lie on the disk.

    Args:
        folder: The package's; that of this process if None.
    """
    return files_digest(folder or Path(fed_assets.__file__).parent)


def code_version(folder: Path | None = None) -> str:
    """Returns the number of fed_assets with the first digits of its files' digest.

    Args:
        folder: The package's; that of this process if None.
    """
    return f"{version('fed_assets')}+{package_digest(folder)[:DIGITS]}"
