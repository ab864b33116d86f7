"""How a forked process leaves its template behind and becomes one site's process."""

from __future__ import annotations

import os
import random
import signal
import sys
import tempfile
from collections.abc import Mapping

import numpy as np

from fed_assets.federation.child import die_with_parent
from fed_assets.federation.site import Site

# Where a process's command line lies, in /proc/<pid>/stat: proc(5), fields 48 and 49.
_ARGUMENTS = slice(47, 49)


def take_identity(site: Site) -> None:
    """Makes this process a site's own: its files, its environment, its folder."""
    console = os.open(site.console, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    for stream in (1, 2):
        os.dup2(console, stream)
    os.close(console)
    os.environ.clear()
    os.environ.update(site.environment())
    os.chdir(site.workspace)
    tempfile.tempdir = None  # what an import may have found for the template


def begin_process(parent: int, title: str, credentials: Mapping[str, str]) -> None:
    """Makes a freshly forked process independent of its parent but for its life.

    Args:
        parent: Process id of the parent, taken before the fork.
        title: What the process is called in lists of processes.
        credentials: Added to its environment.
    """
    os.setsid()
    die_with_parent(parent)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_DFL)
    os.environ.update(credentials)
    name_process(title)
    _draw_own_randomness()


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
