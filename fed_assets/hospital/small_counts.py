"""Which counts are small, and what stands in place of one that is not told."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from fed_assets.errors import RunConfigError

SUPPRESSED = "suppressed"
LEAST = 3


def is_told(counts: Iterable[int], below: int) -> bool:
    """Returns whether none of some counts is small."""
    return all(count == 0 or count >= below for count in counts)


def limit_of(record: Mapping[str, Any]) -> int:
    """Returns below which number counts are suppressed, as a hospital's process was told; 0: none.

    Raises:
        RunConfigError: It was not told, or told a number that would hide nothing.
    """
    below = record.get("suppress_below")
    if isinstance(below, int) and not isinstance(below, bool) and (below == 0 or below >= LEAST):
        return below
    raise RunConfigError(
        "A hospital's process was not told which counts it suppresses",
        seen=f"suppress_below={below}",
        cure=f"Use the same version of fed_assets on both sides, with 0 or a number from {LEAST} "
        "on",
    )
