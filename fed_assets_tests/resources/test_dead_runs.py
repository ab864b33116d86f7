"""A run that died without a word must not hold its place for ever."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from dagster import DagsterInstance, DagsterRun, DagsterRunStatus

from fed_assets.resources.dead_runs import bury_dead_runs, sign_in, signature
from fed_assets.resources.home import Home

POOL = "gpu"
SIGN_IN_AND_DIE = """
import os, sys
from dagster import DagsterInstance
from fed_assets.resources.dead_runs import sign_in
with DagsterInstance.from_config(sys.argv[1]) as instance:
    sign_in(instance, sys.argv[2])
    os._exit(9)
"""


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path / "home").prepare()


@pytest.fixture
def instance(home: Home) -> Iterator[DagsterInstance]:
    with DagsterInstance.from_config(str(home.instance)) as instance:
        yield instance


def claim(instance: DagsterInstance, name: str) -> str:
    """Returns the id of a run that has started and holds the only place of the pool."""
    from dagster import job, op

    @op
    def nothing() -> None: ...

    @job(name=name)
    def one() -> None:
        nothing()

    run = instance.create_run_for_job(one, status=DagsterRunStatus.STARTED)
    instance.event_log_storage.initialize_concurrency_limit_to_default(POOL)
    instance.event_log_storage.claim_concurrency_slot(POOL, run.run_id, "step")
    return run.run_id


def claimants(instance: DagsterInstance) -> set[str]:
    return set(instance.event_log_storage.get_concurrency_info(POOL).active_run_ids)


def test_a_run_whose_process_died_is_ended_and_gives_its_place_back(
    instance: DagsterInstance, home: Home
) -> None:
    run = claim(instance, "died")
    died = [sys.executable, "-c", SIGN_IN_AND_DIE, str(home.instance), run]
    subprocess.run(died, check=False)
    assert claimants(instance) == {run}
    folder = home.federation("minimal", run)
    kept = [folder / "outbox" / "rounds" / "0001", folder / "sites" / "north"]
    half_done = [
        folder / "outbox" / "rounds" / ".0002.partial",
        folder / "provisioning" / "ca",
        folder / "tmp" / "upload",
        home.audit(run) / "transit" / "sandbox" / "federation",
    ]
    for each in (*kept, *half_done):
        each.mkdir(parents=True)
    assert bury_dead_runs(instance, home) == [run]
    assert claimants(instance) == set()
    assert all(each.exists() for each in kept)
    assert not any(each.exists() for each in half_done)
    buried = instance.get_run_by_id(run)
    assert buried is not None
    assert buried.status is DagsterRunStatus.FAILURE
    assert bury_dead_runs(instance, home) == []


def test_a_run_whose_process_lives_keeps_its_place(instance: DagsterInstance, home: Home) -> None:
    run = claim(instance, "lives")
    sign_in(instance, run)
    assert bury_dead_runs(instance, home) == []
    assert claimants(instance) == {run}


def test_a_process_id_that_was_given_out_again_is_not_taken_for_the_run(
    instance: DagsterInstance, home: Home
) -> None:
    run = claim(instance, "reused")
    sign_in(instance, run)
    signed = instance.get_run_by_id(run)
    assert signed is not None
    machine, pid, _ = signed.tags["fed_assets/process"].split(" ")
    instance.add_run_tags(run, {"fed_assets/process": f"{machine} {pid} {time.time() - 9e6}"})
    assert bury_dead_runs(instance, home) == [run]


def test_a_re_execution_is_not_taken_for_its_dead_parent(
    instance: DagsterInstance, home: Home
) -> None:
    parent = claim(instance, "parent")
    instance.add_run_tags(parent, {"fed_assets/process": signature_of_the_dead()})
    assert bury_dead_runs(instance, home) == [parent]
    dead = instance.get_run_by_id(parent)
    assert dead is not None
    child = DagsterRun(
        job_name="parent",
        root_run_id=parent,
        parent_run_id=parent,
        tags=dead.tags,
        status=DagsterRunStatus.STARTED,
    )
    instance.add_run(child)  # as Dagster does: it has not signed in yet
    assert bury_dead_runs(instance, home) == []
    sign_in(instance, child.run_id)
    instance.add_run_tags(child.run_id, {"fed_assets/process": signature_of_the_dead(2.0)})
    assert bury_dead_runs(instance, home) == [child.run_id]


def test_a_launch_that_has_ended_is_ended_though_it_never_signed_in(
    instance: DagsterInstance, home: Home
) -> None:
    run = claim(instance, "early")
    instance.add_run_tags(run, {"fed_assets/launch": "abc", "fed_assets/process": signature()})
    assert bury_dead_runs(instance, home, launch="abd") == []
    assert bury_dead_runs(instance, home, launch="abc") == [run]


def signature_of_the_dead(started: float = 1.0) -> str:
    machine, pid, _ = signature().split(" ")
    return f"{machine} {pid} {started}"


def test_a_run_of_another_machine_is_left_alone(instance: DagsterInstance, home: Home) -> None:
    run = claim(instance, "elsewhere")
    instance.add_run_tags(run, {"fed_assets/process": "elsewhere 1 0.0"})
    assert bury_dead_runs(instance, home) == []
