"""Runs whose process died without a word: marked as failed, their places given back, tidied up.

Dagster holds a run's place in a pool until the run says that it ended. After `kill -9` or a power
cut nobody says so, and every later run would wait for ever.
"""

from __future__ import annotations

import fcntl
import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

from fed_assets.federation.half_done import clear_half_done
from fed_assets.resources.home import Home

if TYPE_CHECKING:
    from dagster import DagsterInstance

PROCESS_TAG = "fed_assets/process"


def sign_in(instance: DagsterInstance, run_id: str) -> None:
    """Notes in a run's tags which process of which machine it is."""
    started = psutil.Process().create_time()
    instance.add_run_tags(run_id, {PROCESS_TAG: f"{platform.node()} {os.getpid()} {started}"})


def bury_dead_runs(instance: DagsterInstance, home: Home) -> list[str]:
    """Returns the ids of the runs that signed in on this machine and died, after ending them."""
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
            signature = run.tags.get(PROCESS_TAG)
            if signature is None or not _died(signature):
                continue
            instance.report_run_failed(run, "Its process ended without a word.")
            instance.event_log_storage.free_concurrency_slots_for_run(run.run_id)
            for folder in home.root.glob(f"federations/*/{run.run_id[:8]}"):
                clear_half_done(folder)
            buried.append(run.run_id)
    return buried


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Lets one process at a time look for dead runs: each is ended once."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _died(signature: str) -> bool:
    machine, pid, started = signature.split(" ")
    if machine != platform.node():
        return False  # nobody here can tell
    try:
        process = psutil.Process(int(pid))
        return process.create_time() != float(started) or process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True
