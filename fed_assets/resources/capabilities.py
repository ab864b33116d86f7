"""Capabilities of this process: what root may do here, which in a container is not everything."""

from __future__ import annotations

import sys
from pathlib import Path

# By their numbers, see capabilities(7). What it takes to be each hospital's user, to give it its
# folder and to end what it runs; and what it takes to mount.
TO_BE_OTHERS = {"CHOWN": 0, "DAC_OVERRIDE": 1, "FOWNER": 3, "KILL": 5, "SETGID": 6, "SETUID": 7}
TO_MOUNT = {"SYS_ADMIN": 21}


def lacking(wanted: dict[str, int]) -> list[str]:
    """Returns the names of the capabilities that this process does not have; none off Linux."""
    if sys.platform != "linux":
        return []
    status = Path("/proc/self/status").read_text(encoding="ascii", errors="replace")
    held = int(status.partition("CapEff:")[2].split()[0], 16)
    return [name for name, number in wanted.items() if not held >> number & 1]
