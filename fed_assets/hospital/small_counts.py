"""Which counts are small, and what stands in place of one that is not told."""

from __future__ import annotations

from collections.abc import Iterable

SUPPRESSED = "suppressed"
LEAST = 3


def is_told(counts: Iterable[int], below: int) -> bool:
    """Returns whether none of some counts is small."""
    return all(count == 0 or count >= below for count in counts)
