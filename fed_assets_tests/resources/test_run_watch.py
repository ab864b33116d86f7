"""What outlives a run that is killed: it ends the run, or goes where there is nothing to do."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from dagster import DagsterInstance, DagsterRunStatus

from fed_assets.resources.home import Home
from fed_assets.resources.run_watch import WATCH

RUN = """
import os, sys
from dagster import DagsterInstance
from fed_assets.resources.dead_runs import sign_in
from fed_assets.resources.home import Home
from fed_assets.resources.run_watch import RunWatch
from pathlib import Path
home = Home(Path(sys.argv[1]))
with DagsterInstance.from_config(str(home.instance)) as instance:
    sign_in(instance, sys.argv[2])
watch = RunWatch(home.root, sys.argv[2])
print("watched", flush=True)
sys.stdin.read()
watch.end()
print("told", flush=True)
sys.stdin = None
import time; time.sleep(60)
"""
SECONDS = 20


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path / "home").prepare()


def start(home: Home, run_id: str) -> tuple[subprocess.Popen[str], psutil.Process]:
    """Returns a run's process that does nothing, and the watch over it."""
    command = [sys.executable, "-c", RUN, str(home.root), run_id]
    run = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert run.stdout is not None
    assert run.stdout.readline() == "watched\n"
    (watch,) = [
        each for each in psutil.Process(run.pid).children() if WATCH in " ".join(each.cmdline())
    ]
    return run, watch


def status(home: Home, run_id: str) -> DagsterRunStatus:
    with DagsterInstance.from_config(str(home.instance)) as instance:
        run = instance.get_run_by_id(run_id)
    assert run is not None
    return run.status


def ended(process: psutil.Process) -> bool:
    return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE


def test_a_run_whose_process_was_killed_is_ended(home: Home, run_id: str) -> None:
    run, watch = start(home, run_id)
    half_done = home.federation("minimal", run_id) / "sites" / "north" / "startup" / "client.key"
    half_done.parent.mkdir(parents=True)
    half_done.touch()
    run.kill()
    run.communicate()
    watch.wait(SECONDS)
    assert status(home, run_id) is DagsterRunStatus.FAILURE
    assert not half_done.exists()


def test_it_costs_little_and_ends_at_once_where_all_is_well(home: Home, run_id: str) -> None:
    run, watch = start(home, run_id)
    time.sleep(0.5)
    used = watch.cpu_times()
    assert used.user + used.system < 0.5
    assert watch.memory_full_info().pss < 15e6
    assert not [path for path in watch.memory_maps() if "dagster" in path.path]
    assert run.stdin is not None and run.stdout is not None
    run.stdin.close()
    assert run.stdout.readline() == "told\n"
    assert ended(watch)
    run.kill()
    run.wait()
    assert status(home, run_id) is DagsterRunStatus.STARTED  # nobody looked
