"""A federation's processes as interpreters of their own, for systems that cannot fork safely."""

from __future__ import annotations

import os
import subprocess
import sys

from fed_assets.federation.site import Site


class Spawned:
    """Starts each process anew: every one imports for itself what it needs.

    The processes are tied to the thread that starts them.
    """

    def __init__(self) -> None:
        self._processes: dict[str, subprocess.Popen[bytes]] = {}

    def start(self, site: Site, seconds: float) -> int:
        """Starts a site's main process and returns its id."""
        console = os.open(site.console, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        child = ("-m", "fed_assets.federation.child", str(os.getpid()))
        try:
            process = subprocess.Popen(
                [sys.executable, *child, site.main_module, *site.main_arguments()],
                cwd=site.workspace,
                env=site.environment(),
                stdin=subprocess.DEVNULL,
                stdout=console,
                stderr=console,
                start_new_session=True,
            )
        finally:
            os.close(console)
        self._processes[site.name] = process
        return process.pid

    def ended(self) -> dict[str, int]:
        """Returns the exit code of each site whose main process has ended."""
        codes = {name: process.poll() for name, process in self._processes.items()}
        return {name: code for name, code in codes.items() if code is not None}

    def roots(self) -> list[int]:
        """Returns the processes that all others descend from."""
        return [process.pid for process in self._processes.values()]

    def end(self) -> None:
        """Asks every process to end."""
        for process in self._processes.values():
            process.terminate()
