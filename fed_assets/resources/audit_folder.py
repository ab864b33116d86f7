"""The folder of one run's attempts on a sandbox: it holds keys, and goes with the run."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from dagster import DagsterInstance

from fed_assets.resources.confinement import own_confinement
from fed_assets.resources.dead_runs import sign_in
from fed_assets.resources.home import Home
from fed_assets.resources.run_watch import RunWatch


@contextmanager
def audit_folder(home: Home, instance: DagsterInstance, run_id: str) -> Iterator[Path]:
    """Yields the folder, empty, and removes it after; where the run is killed, its watch does."""
    folder = home.audit(run_id)
    sign_in(instance, run_id)
    with ExitStack() as after:
        if own_confinement() is None:  # or else one watches that can do more
            after.callback(RunWatch(home.root, run_id).end)
        shutil.rmtree(folder, ignore_errors=True)  # a step that is tried again
        folder.mkdir(parents=True, mode=0o700)
        after.callback(shutil.rmtree, folder, ignore_errors=True)
        yield folder
