"""An orchestrator that puts itself behind walls, in ways in which that cannot be done.

`python -m fed_assets_tests.resources.capped_home HOME HOW` prints what came of it.
"""

from __future__ import annotations

import ctypes
import errno
import json
import os
import struct
import sys
import threading
from dataclasses import asdict
from pathlib import Path
from typing import Any

from fed_assets.errors import FedAssetsError
from fed_assets.resources.confinement import build_walls, confine_orchestrator
from fed_assets.resources.home import Home

LANDLOCK_CREATE_RULESET = 444


def without_landlock() -> None:
    """Has the kernel answer this process as one does that never had Landlock."""
    allow, refuse = 0x7FFF0000, 0x00050000 | errno.ENOSYS
    # What seccomp runs at each system call: load its number; is it Landlock's? Refuse or allow.
    steps = [
        (0x20, 0, 0, 0),
        (0x15, 0, 1, LANDLOCK_CREATE_RULESET),
        (0x06, 0, 0, refuse),
        (0x06, 0, 0, allow),
    ]
    code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *step) for step in steps))
    program = struct.pack("HxxxxxxP", len(steps), ctypes.addressof(code))
    library = ctypes.CDLL(None, use_errno=True)
    assert library.prctl(38, 1, 0, 0, 0) == 0
    assert library.prctl(22, 2, program, 0, 0) == 0


def confine(home: Home, how: str) -> dict[str, Any]:
    if how == "no_landlock":
        without_landlock()
    walls = build_walls(home, "eyes_off", {"north": []})
    if how == "threads":
        threading.Thread(target=threading.Event().wait, daemon=True).start()
    instance = home.root.parent if how == "elsewhere" else home.instance
    found = asdict(confine_orchestrator(walls, home, instance, "")) | {"then": os.geteuid()}
    if how == "twice":
        build_walls(home, "eyes_off", {"north": []})
    return found


def main() -> None:
    home, how = sys.argv[1:]
    try:
        told = confine(Home(Path(home)).prepare(), how)
    except FedAssetsError as error:
        told = {"error": str(error)}
    print(json.dumps(told))


if __name__ == "__main__":
    main()
