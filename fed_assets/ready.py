"""A process that is ready for a run, and waits until it is let go.

`python -m fed_assets.ready MODULE ARGUMENTS...` imports what a run of Dagster's does before its
first step, and runs MODULE as `python -m` would once a byte comes over stdin. Where none comes any
more, it ends. Until then it reads no setting, no roster and no table, and it writes nothing: what
others change meanwhile is seen by the run, and to kill it loses nothing.
"""

from __future__ import annotations

import os
import runpy
import sys

import fed_assets


def import_ahead() -> None:
    """Imports what the command line, an instance of whichever storage and the definitions need."""
    import dagster._cli
    import dagster._core.storage.base_storage  # noqa: F401

    fed_assets.wiring()


def let_go() -> bool:
    """Waits until this process is let go; returns False where nobody will do so any more.

    As of any run, stdin is empty from then on.
    """
    gone_on = os.read(0, 1) != b""
    empty = os.open(os.devnull, os.O_RDONLY)
    os.dup2(empty, 0)
    os.close(empty)
    return gone_on


def main() -> None:
    """Gets ready, waits, and runs the module."""
    module, *arguments = sys.argv[1:]
    import_ahead()
    if let_go():
        sys.argv = [module, *arguments]
        runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
