"""Runs whose process died without a word: marked as failed, their places given back, tidied up.

Dagster holds a run's place in a pool until the run says that it ended. After `kill -9` or a power
cut nobody says so, and every later run would wait for ever.
"""

from __future__ import annotations

import fcntl
import os
import platform
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

from fed_assets.federation.half_done import clear_half_done
from fed_assets.resources.home import Home

if TYPE_CHECKING:
    from dagster import DagsterInstance, DagsterRun

PROCESS_TAG = "fed_assets/process"
LAUNCH_TAG = "fed_assets/launch"


def signature() -> str:
    """Returns which process of which machine this is."""
    return f"{platform.node()} {os.getpid()} {psutil.Process().create_time()}"


def sign_in(instance: DagsterInstance, run_id: str) -> None:
    """Notes in a run's tags that it is this process."""
    instance.add_run_tags(run_id, {PROCESS_TAG: signature()})


def bury_dead_runs(instance: DagsterInstance, home: Home, *, launch: str = "") -> list[str]:
    """Returns the ids of the runs that signed in on this machine and died, after ending them.

    Args:
        instance: Dagster's.
        home: Where the runs' federations lie.
        launch: The launch whose process is known to have ended, whether it had signed in or not.
    """
    from dagster import DagsterRunStatus, RunsFilter

    unfinished = [
        DagsterRunStatus.NOT_STARTED,  # it waited for its turn
        DagsterRunStatus.STARTING,
        DagsterRunStatus.STARTED,
        DagsterRunStatus.CANCELING,
    ]
    buried = []
    with _alone(home.instance):
        for run in instance.get_runs(RunsFilter(statuses=unfinished)):
            launched = bool(launch) and run.tags.get(LAUNCH_TAG) == launch
            if not launched and not _died(_signature(instance, run)):
                continue
            clear_federation(home, run.run_id)  # first: on a full disk the rest cannot be written
            instance.report_run_failed(run, "Its process ended without a word.")
            instance.event_log_storage.free_concurrency_slots_for_run(run.run_id)
            buried.append(run.run_id)
    return buried


def clear_federation(home: Home, run_id: str) -> None:
    """Removes the private keys of a run that has ended, and what it left half done."""
    for folder in home.root.glob(f"federations/*/{run_id[:8]}"):
        clear_half_done(folder)
    shutil.rmtree(home.audit(run_id), ignore_errors=True)


def _signature(instance: DagsterInstance, run: DagsterRun) -> str | None:
    """Returns which process a run is; None until it signs in: Dagster copies a parent's tags."""
    found = run.tags.get(PROCESS_TAG)
    parent = instance.get_run_by_id(run.parent_run_id) if run.parent_run_id else None
    copied = parent is not None and parent.tags.get(PROCESS_TAG) == found
    return None if copied else found


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Lets one process at a time look for dead runs: each is ended once."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _died(signature: str | None) -> bool:
    if signature is None:
        return False
    machine, pid, started = signature.split(" ")
    if machine != platform.node():
        return False  # nobody here can tell
    try:
        process = psutil.Process(int(pid))
        return process.create_time() != float(started) or process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True
