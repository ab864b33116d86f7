"""One process of the federation, tied to the one that started it.

`python -m fed_assets.federation.child PARENT MODULE ARGUMENTS...` runs MODULE as `python -m` would.
"""

from __future__ import annotations

import ctypes
import os
import runpy
import signal
import subprocess
import sys
import threading
import time
from typing import Any

PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36
WATCH_SECONDS = 0.5


def end_child(process: subprocess.Popen[Any], seconds: float) -> None:
    """Asks a process to end, kills it where it does not in that time, and waits for it."""
    process.terminate()
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def die_with_parent(parent: int) -> None:
    """Has this process killed as soon as the process that started it is gone, however it went.

    Linux does it at once, and to be exact as soon as the *thread* that started it is gone: start
    it from one that stays. Elsewhere a thread of this process looks twice a second.

    Args:
        parent: Process id of the starter. Where it is gone already, this process ends here.
    """
    if sys.platform == "linux":
        _prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    else:
        watch = threading.Thread(target=end_after, args=(parent,), daemon=True)
        watch.start()
    if os.getppid() != parent:
        os.kill(os.getpid(), signal.SIGKILL)


def end_after(parent: int) -> None:
    """Ends this process after its parent's end."""
    while os.getppid() == parent:
        time.sleep(WATCH_SECONDS)
    os.kill(os.getpid(), signal.SIGKILL)


def adopt_orphans() -> None:
    """Makes this process the parent of descendants whose parent has ended, to wait for them."""
    if sys.platform == "linux":
        _prctl(PR_SET_CHILD_SUBREAPER, 1)


def _prctl(option: int, value: int) -> None:
    library = ctypes.CDLL(None, use_errno=True)
    if library.prctl(option, value, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), f"prctl({option}) failed")


def main() -> None:
    """Ties this process to its parent, keeps its files private and runs the module."""
    parent, module, *arguments = sys.argv[1:]
    die_with_parent(int(parent))
    os.umask(0o077)
    sys.argv = [module, *arguments]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
