"""How a forked process leaves its template behind and becomes one site's process."""

from __future__ import annotations

import importlib
import os
import random
import signal
import sys
import tempfile
import traceback
from typing import NoReturn

import numpy as np

from fed_assets.federation.child import die_with_parent
from fed_assets.federation.program import Program

# Where a process's command line lies, in /proc/<pid>/stat: proc(5), fields 48 and 49.
_ARGUMENTS = slice(47, 49)


def begin_process(parent: int, title: str) -> None:
    """Makes a freshly forked process independent of its parent but for its life.

    Args:
        parent: Process id of the parent, taken before the fork.
        title: What the process is called in lists of processes.
    """
    os.setsid()
    die_with_parent(parent)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_DFL)
    name_process(title)
    _draw_own_randomness()


def become(program: Program, parent: int, channel: int | None) -> NoReturn:
    """Makes a freshly forked process a program's, runs that to its end, and ends with it.

    Args:
        program: What to run.
        parent: Process id of the parent, taken before the fork.
        channel: The descriptor of a socket that becomes its stdin.
    """
    code = 1
    try:
        begin_process(parent, program.title)
        # Behind walls, nobody else can make them.
        for folder in (program.folder, program.temporary):
            os.makedirs(folder, mode=0o700, exist_ok=True)
        console = program.open_console()
        for stream in (1, 2):
            os.dup2(console, stream)
        os.close(console)
        if channel is not None:
            os.dup2(channel, 0)
            if program.answers:
                os.dup2(channel, 1)
            os.close(channel)
        os.environ.clear()
        os.environ.update(program.full_environment())
        os.chdir(program.folder)
        tempfile.tempdir = None  # what an import may have found for the template
        sys.argv = [program.module, *program.arguments]
        code = int(importlib.import_module(program.module).main() or 0)
    except SystemExit as request:
        code = request.code if isinstance(request.code, int) else 1
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        # Threads of NVFlare's that did not end would hold the process for ever.
        os._exit(code & 0xFF)


def name_process(title: str) -> None:
    """Writes a title over this process's command line, as much of it as fits there."""
    import ctypes

    with open("/proc/self/stat") as file:
        # The second field, the only one that may hold spaces, ends at the last parenthesis.
        fields = ["", "", *file.read().rpartition(")")[2].split()]
    start, end = (int(field) for field in fields[_ARGUMENTS])
    room = end - start
    if room:
        # Linux takes it for a title, not for arguments, when the last byte is not zero.
        content = title.encode()[: room - 2].ljust(room - 1, b"\0") + b"."
        ctypes.memmove(start, content, room)


def _draw_own_randomness() -> None:
    random.seed()
    np.random.seed()
    torch = sys.modules.get("torch")
    if torch is not None:
        torch.seed()
        torch.set_num_threads(1)
