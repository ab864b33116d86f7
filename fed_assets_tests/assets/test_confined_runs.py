"""Runs whose hospitals are confined, as root and as an ordinary user: finished, killed, aborted."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest
import yaml
from dagster import DagsterInstance

from fed_assets_tests.confining import BECOME, ORDINARY_USER, require_landlock, require_root
from fed_assets_tests.leftovers import called, family, seconds_until_clean
from fed_assets_tests.places import PROJECT, Place, make_place

pytestmark = pytest.mark.long

CONFINED = {
    "transport": "mtls",
    "storage": "sealed",
    "key_custody": "hospital",
    "process": "confined",
    "previews": "no",
    "statistics": "full",
    "job_code": "preinstalled",
    "update_protection": "none",
    "aggregation": "fedavg",
}
LIFECYCLE = ("fed_assets.cli", "run", "configurable")
RETRAIN = (*LIFECYCLE, "--job", "retrain")
HOSPITALS = ("north", "east")
CLEAN_SECONDS = 10


def make_confined(folder: Path) -> Place:
    place = make_place(
        folder, rounds=4, hospitals=[{"id": name, "name": name} for name in HOSPITALS]
    )
    (folder / "sandbox.yaml").write_text(yaml.safe_dump(CONFINED))
    for path in (folder, *folder.iterdir()):
        path.chmod(0o755 if path.is_dir() else 0o644)
    own = {"FED_ASSETS_SANDBOX": str(folder / "sandbox.yaml")}
    return replace(place, environment=place.environment | own, sandbox="configurable")


@pytest.fixture(scope="module")
def place(places: Path) -> Place:
    """Returns a place in which root ran the lifecycle once."""
    require_root()
    made = make_confined(places / "roots")
    made.run(*LIFECYCLE)
    return made


def recorded(place: Place, run: str) -> dict[str, Any]:
    with DagsterInstance.from_config(str(place.home.instance)) as instance:
        found = instance.get_run_by_id(run)
    assert found is not None
    return dict(json.loads(found.tags["fed_assets/confined"]))


def newest(place: Place) -> Path:
    return place.home.federations(place.sandbox)[0]


def test_a_confined_lifecycle_leaves_each_hospitals_files_to_its_own_user(place: Place) -> None:
    owners = {}
    for name in HOSPITALS:
        own = [place.home.hospital(name), *place.home.hospital(name).rglob("*")]
        (owners[name],) = {path.stat().st_uid for path in own}
        assert all(path.stat().st_mode & 0o077 == 0 for path in own)
        (workspace,) = {
            path.stat().st_uid for path in (newest(place) / "sites" / name / "startup").iterdir()
        }
        assert workspace == owners[name]
    found = recorded(place, place.run_id(newest(place)))
    assert found["kind"] == "users"
    assert found["capped_because"] == ""
    assert len({*owners.values(), found["user"], 0}) == len(HOSPITALS) + 2
    assert (newest(place) / "outbox").stat().st_uid == found["user"]
    assert seconds_until_clean(place.home, within_seconds=CLEAN_SECONDS)[1] == []
    assert [*newest(place).rglob("*.key"), *newest(place).rglob("cert.json")] == []


def measured(place: Place) -> dict[str, Any]:
    return dict(json.loads(place.home.measurement(place.sandbox, 0).read_text()))


def test_each_hospitals_time_and_memory_are_measured_through_its_wall(place: Place) -> None:
    record = measured(place)
    assert record["efficiency"]["peak_memory_bytes"] > 3e8
    assert "peak_memory_bytes" not in record["not_measured"]
    for name in HOSPITALS:
        own = {row["program"] for row in record["processes"] if row["site"] == name}
        assert own >= {"supervisor", "client", "client_job", "task"}
        assert 0.1 < record["hospitals"][name]["cpu_seconds"] < record["efficiency"]["cpu_seconds"]
        assert record["hospitals"][name]["peak_memory_bytes"] > 1e8
    assert 0 < record["effort"]["setup_seconds"] < record["efficiency"]["wall_seconds"]
    steps = [step["kind"] for step in record["effort"]["steps"]]
    assert steps == ["write_sandbox", "allow_walls"]
    assert record["meter"]["cpu_seconds"] < 1.0 + 0.012 * record["meter"]["seconds"]


def test_while_it_trains_no_process_but_templates_watch_and_meter_is_roots(place: Place) -> None:
    run, folder = place.start_until_round(2, *LIFECYCLE)
    roots = {called(each) for each in family(psutil.Process(run.pid)) if each.uids().effective == 0}
    working = {
        called(each).split()[-1]: each.uids().effective
        for each in family(psutil.Process(run.pid))
        if "client_train" in called(each)
    }
    assert len(set(working.values())) == len(HOSPITALS), working
    for line in roots - {called(psutil.Process(run.pid))}:
        assert any(name in line for name in ("federation.template", "run_watch", "run_meter")), line
    (dagsters,) = [
        each for each in family(psutil.Process(run.pid)) if "federation.child" in called(each)
    ]
    # All at once: root, who looks at its progress, makes no file beside one that is open.
    tables = {"runs.db", "index.db", f"{place.run_id(folder)}.db"}
    assert tables <= {Path(each.path).name for each in dagsters.open_files()}
    # What each was told lies in its command line, which everyone may read.
    for each in family(psutil.Process(run.pid)):
        assert "hospitals/" not in called(each)
    run.communicate(timeout=200)
    assert run.returncode == 0
    assert seconds_until_clean(place.home, within_seconds=CLEAN_SECONDS)[1] == []
    assert folder.is_dir()


def test_a_confined_run_that_is_killed_with_its_starter_leaves_no_key_and_is_gone_on_from(
    place: Place,
) -> None:
    run, folder = place.start_until_round(2, *RETRAIN, "--seed", "5")
    assert [*folder.rglob("*.key")] != []
    (dagsters,) = [
        each for each in family(psutil.Process(run.pid)) if "federation.child" in called(each)
    ]
    assert dagsters.uids().effective != 0
    run.kill()
    dagsters.kill()
    run.communicate()
    assert seconds_until_clean(place.home, within_seconds=2 * CLEAN_SECONDS)[1] == []
    assert [*folder.rglob("*.key")] == []
    place.run(*RETRAIN, "--seed", "5")
    resumed = place.artifact("global_model")["resumed_from"]
    assert resumed["run"].startswith(folder.name)
    assert resumed["round"] >= 2
    assert seconds_until_clean(place.home, within_seconds=CLEAN_SECONDS)[1] == []


def test_a_confined_run_that_is_aborted_leaves_nothing(place: Place) -> None:
    run, folder = place.start_until_round(1, *RETRAIN, "--seed", "6")
    run.send_signal(signal.SIGINT)
    run.communicate(timeout=60)
    assert run.returncode != 0
    assert seconds_until_clean(place.home, within_seconds=CLEAN_SECONDS)[1] == []
    assert [*folder.rglob("*.key")] == []


def test_an_ordinary_user_gets_the_same_model_behind_landlock(places: Path, place: Place) -> None:
    require_landlock()
    theirs = make_confined(places / "a_users")
    os.chown(places / "a_users", ORDINARY_USER, ORDINARY_USER)
    environment = theirs.environment | {"PYTHONPATH": str(PROJECT), "HOME": str(places / "a_users")}
    ran = subprocess.run(
        [sys.executable, "-c", BECOME, str(ORDINARY_USER), *LIFECYCLE],
        cwd=PROJECT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    found = recorded(theirs, theirs.run_id(newest(theirs)))
    assert (found["kind"], found["user"]) == ("landlock", ORDINARY_USER)
    assert found["landlock_abi"] >= 3
    first = place.home.federations(place.sandbox)[-1]
    digests = [
        json.loads((folder / "outbox" / "rounds" / "0004" / "round.json").read_text())
        for folder in (first, newest(theirs))
    ]
    assert digests[0]["global_digest"] == digests[1]["global_digest"]
    # Root alone is told what hospitals' processes share; what each holds, and uses, anyone.
    record = measured(theirs)
    assert record["efficiency"]["peak_memory_bytes"] is None
    assert record["not_measured"]["peak_memory_bytes"] == "processes_hidden"
    assert all(record["hospitals"][name]["cpu_seconds"] > 0.1 for name in HOSPITALS)
    assert all(record["hospitals"][name]["peak_memory_bytes"] > 5e7 for name in HOSPITALS)
    assert [*newest(theirs).rglob("*.key")] == []
    assert seconds_until_clean(theirs.home, within_seconds=CLEAN_SECONDS)[1] == []
