"""Measures this process and one below it that nobody of its own user may look into.

`python -m fed_assets_tests.resources.hidden_process` prints what was told as JSON.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys

from fed_assets.resources.looks import Looks

# PR_SET_DUMPABLE, as whatever stands behind a wall has it.
HIDE = "import ctypes, sys; ctypes.CDLL(None).prctl(4, 0); print(flush=True); sys.stdin.read()"


def main() -> None:
    command = [sys.executable, "-c", HIDE]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        child.stdout.readline()
        looks = Looks(os.getpid())
        looks.look()
        print(json.dumps(looks.told()))


if __name__ == "__main__":
    main()
