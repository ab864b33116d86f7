"""How much the service takes at once."""

from __future__ import annotations

MEBIBYTE = 2**20
LEAST_SIDE = 16
"""Pixels; what is smaller hospitals' validation does not let through either, as shipped."""

MOST_FILES = 64
MOST_FILE_BYTES = 16 * MEBIBYTE
MOST_BODY_BYTES = 64 * MEBIBYTE
