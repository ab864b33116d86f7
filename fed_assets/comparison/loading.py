"""The libraries that a comparison reckons with, for who has time to load them before it begins."""

from __future__ import annotations

import importlib

LIBRARIES = ("scipy.stats", "pymcdm")  # which takes pandas and matplotlib for tables and plots


def load_libraries() -> None:
    """Loads them, which takes a second and a half."""
    for name in LIBRARIES:
        importlib.import_module(name)
