"""What a command ends with, beside 0: see the README."""

from __future__ import annotations

FAILED = 1
DEGRADED = 3  # something was missing, and the rest is there
INTERRUPTED = 130  # 128 and the number of SIGINT, as shells say it
