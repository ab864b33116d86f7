"""Runs of which one process is killed, and two runs at once: what is told, what is left after."""

from __future__ import annotations

import json
import subprocess
import time

import psutil
import pytest
from dagster import DagsterInstance

from fed_assets_tests.leftovers import called, family, seconds_until_clean
from fed_assets_tests.places import LIFECYCLE, RETRAIN, Place, make_place

pytestmark = pytest.mark.long

CLEAN_SECONDS = 3
# Where Dagster's process is killed, the run's watch loads Dagster to tidy up after it.
OUTLIVED_SECONDS = 15
DAGSTERS_RUN = "fed_assets.federation.child"
TEMPLATE = "fed_assets.federation.template"
WORKER = "fed_assets.hospital.worker"


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    return make_place(tmp_path_factory.mktemp("killed") / "place", rounds=6)


def found(run: subprocess.Popen[str], title: str) -> list[psutil.Process]:
    return [each for each in family(psutil.Process(run.pid)) if title in called(each)]


def until_it_prepares_images(run: subprocess.Popen[str]) -> list[psutil.Process]:
    end = time.monotonic() + 60
    while not (workers := found(run, WORKER)):
        assert run.poll() is None
        assert time.monotonic() < end
        time.sleep(0.01)
    return workers


def template_of(process: psutil.Process) -> psutil.Process:
    """Returns which of its run's templates a process was forked from."""
    (template,) = [each for each in process.parents() if TEMPLATE in called(each)]
    return template


def kill(place: Place, run: subprocess.Popen[str], victim: psutil.Process) -> list[str]:
    """Kills a process of a run; returns what the run told, once nothing of it is left."""
    title = called(victim)
    victim.kill()
    _, told = run.communicate(timeout=60)
    assert run.returncode == 1, told
    within = OUTLIVED_SECONDS if DAGSTERS_RUN in title else CLEAN_SECONDS
    _, left = seconds_until_clean(place.home, within_seconds=within)
    assert left == []
    return [line for line in told.splitlines() if line.strip()]


def test_a_template_killed_in_mid_images_is_told_of_in_one_line(place: Place) -> None:
    run = place.start(*LIFECYCLE)
    (worker,) = until_it_prepares_images(run)
    worker.suspend()  # or its task could be done by then, and the next template take the others
    line, log, *_ = kill(place, run, template_of(worker))
    assert "the process that it was forked from ended (signal 9)" in line
    assert log.startswith("The run failed; its log is ")


def test_a_template_killed_in_mid_training_is_told_of_in_one_line(place: Place) -> None:
    run, _ = place.start_until_round(1, *LIFECYCLE)
    (server,) = found(run, "supervisor server")
    line, log, *_ = kill(place, run, template_of(server))
    assert line.startswith("minimal: The process that all others are forked from ended.")
    assert "Seen: signal 9." in line
    assert log.startswith("The run failed; its log is ")


def test_a_run_killed_in_mid_training_is_told_of_in_one_line(place: Place) -> None:
    run, folder = place.start_until_round(3, *RETRAIN)
    (dagsters,) = found(run, DAGSTERS_RUN)
    line, log = kill(place, run, dagsters)
    assert line.startswith(
        "minimal: The run's process ended (signal 9). To mend it: `--job retrain`"
    )
    assert log.startswith("The run failed; its log is ")
    with DagsterInstance.from_config(str(place.home.instance)) as instance:
        killed = instance.get_run_by_id(place.run_id(folder))
    assert killed is not None
    assert killed.is_failure


def test_a_run_killed_with_whoever_started_it_leaves_nothing(place: Place) -> None:
    run, folder = place.start_until_round(2, *LIFECYCLE)
    (dagsters,) = found(run, DAGSTERS_RUN)
    assert [*folder.rglob("*.key")] != []
    run.kill()
    dagsters.kill()
    run.communicate()
    _, left = seconds_until_clean(place.home, within_seconds=OUTLIVED_SECONDS)
    assert left == []
    with DagsterInstance.from_config(str(place.home.instance)) as instance:
        killed = instance.get_run_by_id(place.run_id(folder))
    assert killed is not None
    assert killed.is_failure


def test_dagsters_own_command_killed_leaves_nothing(place: Place) -> None:
    command = ("dagster", "job", "execute", "-m", "fed_assets", "-j", "retrain")
    tags = ("--tags", json.dumps({"dagster/partition": "minimal"}))
    run, _ = place.start_until_round(4, *command, *tags)
    run.kill()
    run.communicate()
    _, left = seconds_until_clean(place.home, within_seconds=OUTLIVED_SECONDS)
    assert left == []


def steps_of(instance: DagsterInstance, run: str) -> tuple[float, float]:
    """Returns when the first step of a run started, and when the last ended."""
    steps = instance.get_run_step_stats(run)
    return min(each.start_time or 0 for each in steps), max(each.end_time or 0 for each in steps)


def test_two_runs_of_a_sandbox_at_once_succeed_one_after_the_other(place: Place) -> None:
    before = set(place.home.federations("minimal"))
    runs = [place.start(*LIFECYCLE) for _ in range(2)]
    for run in runs:
        told, errors = run.communicate(timeout=200)
        assert run.returncode == 0, told + errors
    folders = sorted(set(place.home.federations("minimal")) - before)
    assert len(folders) == 2
    with DagsterInstance.from_config(str(place.home.instance)) as instance:
        steps = [steps_of(instance, place.run_id(folder)) for folder in folders]
    (_, first_end), (second_start, _) = sorted(steps)
    assert first_end < second_start, "neither works with what the other writes"
    digests = []
    for folder in folders:
        record = json.loads((folder / "outbox" / "rounds" / "0006" / "round.json").read_text())
        digests.append(record["global_digest"])
    assert digests[0] == digests[1]
    assert seconds_until_clean(place.home, within_seconds=CLEAN_SECONDS)[1] == []
