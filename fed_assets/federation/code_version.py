"""Which code a run is of: a digest of the package's files, with git or without."""

from __future__ import annotations

from pathlib import Path

import fed_assets
from fed_assets.privacy.code_digest import files_digest


def package_digest(folder: Path | None = None) -> str:
    """Returns it, of the files as they lie on the disk.

    Args:
        folder: The package's; that of this process if None.
    """
    return files_digest(folder or Path(fed_assets.__file__).parent)
