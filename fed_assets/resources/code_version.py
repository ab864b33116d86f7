"""Which code runs: the package's number, and a digest of its sources, which says more."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path

from fed_assets.federation.code_version import package_digest

DIGITS = 12


def code_version(folder: Path | None = None) -> str:
    """Returns the number of fed_assets with the first digits of its sources' sha256.

    Args:
        folder: The package's; that of this process if None.
    """
    return f"{version('fed_assets')}+{package_digest(folder)[:DIGITS]}"
