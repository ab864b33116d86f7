"""Memory that large weights took, given back to the system."""

from __future__ import annotations

import ctypes
import gc
from contextlib import suppress


def give_back_memory() -> None:
    """Frees what nobody holds any more; the allocator would keep it, for small models' sake.

    See `program.BARE_ENVIRONMENT`. NVFlare holds what it received by cycles; after the template's
    `gc.freeze` they would wait for a full collection for many rounds.
    """
    gc.collect()
    with suppress(AttributeError, OSError):  # glibc's alone
        ctypes.CDLL(None).malloc_trim(0)
