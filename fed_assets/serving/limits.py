"""How much the service takes at once."""

from __future__ import annotations

MEBIBYTE = 2**20
LEAST_SIDE = 16
"""Pixels; what is smaller hospitals' validation does not let through either, as shipped."""

MOST_FILES = 64
MOST_FILE_BYTES = 16 * MEBIBYTE
MOST_BODY_BYTES = 64 * MEBIBYTE
MOST_PIXELS = 128_000_000
"""Of all pictures of a request, as their headers say: 64 of 2 million each."""

MOST_SECONDS = 20.0
"""From when a request's body is there; well within what a process may be silent for."""

MOST_CPU_SECONDS = 30.0
"""Of a processor, for one picture; what takes more never ends."""

SMALL_PIXELS = 1024 * 1024
SMALL_BYTES = MEBIBYTE
"""Of a picture that does not wait for larger ones: it takes milliseconds."""
