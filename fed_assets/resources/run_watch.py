"""A process that outlives a run's own, and tidies up after it where it was killed.

`python -m fed_assets.resources.run_watch HOME RUN PARENT` waits for the end of its parent, which is
the run's process, unless that says over stdin that all is well. It loads nothing before that: it
costs some 20 ms and 10 MB.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

WATCH = "fed_assets.resources.run_watch"
LOOK_SECONDS = 0.05
END_SECONDS = 5.0


class RunWatch:
    """The watch over this process, from now until `end`."""

    def __init__(self, home: Path, run_id: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", WATCH, str(home), run_id, str(os.getpid())],
            cwd=home,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # whatever ends the run with its group or terminal spares it
        )

    def end(self) -> None:
        """Ends the watch: this process has tidied up itself."""
        with suppress(BrokenPipeError, subprocess.TimeoutExpired):
            self._process.communicate(b".", timeout=END_SECONDS)


def main() -> None:
    """Waits for the run's process to end; then ends the runs that died without a word."""
    home, run_id, parent = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
    if sys.stdin.buffer.read(1):
        return
    # Its files were closed; it has ended once this process has another parent.
    while os.getppid() == parent:
        time.sleep(LOOK_SECONDS)
    os.umask(0o077)
    from fed_assets.resources.dead_runs import bury_dead_runs, clear_federation
    from fed_assets.resources.home import Home

    found = Home(home)
    clear_federation(found, run_id)  # private keys wait for nothing
    from fed_assets.resources.instance import open_instance

    # All that was tied to the run has ended before Dagster is imported.
    with open_instance(found) as instance:
        bury_dead_runs(instance, found)


if __name__ == "__main__":
    main()
