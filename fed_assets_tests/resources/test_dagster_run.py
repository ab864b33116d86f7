from __future__ import annotations

import json
import stat
import time
from pathlib import Path

import pytest
import yaml

from fed_assets.resources.dagster_run import (
    POLL_SECONDS,
    discard,
    execute,
    instance_of,
    made_ready,
    plan_launch,
    started,
)
from fed_assets.resources.home import Home
from fed_assets.resources.run_events import Progress
from fed_assets.sandboxes.presets import EYES_ON


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    monkeypatch.setenv("FED_ASSETS_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("FED_ASSETS_ROSTER", raising=False)
    return Home(tmp_path / "home").prepare()


def test_a_launch_is_the_command_that_a_person_would_type(home: Home) -> None:
    launch = plan_launch(home, job="federated_lifecycle", sandbox="minimal", config={})
    assert launch.command == (
        *("dagster", "job", "execute", "-m", "fed_assets", "-j", "federated_lifecycle"),
        *("--tags", '{"dagster/partition": "minimal"}'),
    )
    assert not launch.log.parent.exists()


def test_a_runs_config_lies_beside_its_log_for_its_owner_alone(home: Home) -> None:
    config = {"ops": {"federated_training": {"config": {"rounds": 3}}}}
    launch = plan_launch(home, job="retrain", sandbox="minimal", config=config)
    assert launch.command[-2] == "-c"
    path = Path(launch.command[-1])
    assert path == launch.log.with_suffix(".json")
    assert json.loads(path.read_text()) == config
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_of_a_launch_that_never_came_to_be_nothing_is_left(home: Home) -> None:
    launch = plan_launch(home, job="retrain", sandbox="minimal", config={"ops": {}})
    ready = made_ready(launch, home)
    assert len(list(launch.log.parent.iterdir())) == 2
    ready.end()
    discard(launch)
    assert list(launch.log.parent.iterdir()) == []
    discard(plan_launch(home, job="retrain", sandbox="minimal", config={}))  # nothing was written


def test_only_a_lifecycle_is_measured(home: Home) -> None:
    jobs = ("federated_lifecycle", "retrain", "references", "security_audit", "comparison")
    launches = [plan_launch(home, job=job, sandbox=None, config={}) for job in jobs]
    assert [each.measured for each in launches] == [True, False, False, False, False]


def test_two_launches_share_no_tag_and_no_log(home: Home) -> None:
    one, other = (plan_launch(home, job="retrain", sandbox="minimal", config={}) for _ in "ab")
    assert one.tag != other.tag
    assert one.log != other.log


def test_a_refused_sandbox_is_a_failed_run_with_its_own_line(
    home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one_of_both = {"update_protection": "secure_aggregation", "aggregation": "multi_krum"}
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(EYES_ON.controls() | one_of_both))
    monkeypatch.setenv("FED_ASSETS_SANDBOX", str(tmp_path / "mine.yaml"))
    heard: list[Progress] = []
    launch = plan_launch(home, job="federated_lifecycle", sandbox="configurable", config={})
    finished = execute(launch, home, on_progress=heard.append)
    assert not finished.succeeded
    assert finished.run_id
    assert [progress.step for progress in heard] == ["sandbox_controls"]
    assert finished.failures[0].startswith(
        "Sandbox configurable declares update_protection=secure_aggregation"
    )
    assert stat.S_IMODE(finished.log.stat().st_mode) == 0o600
    assert not (home.root / "hospitals").exists()
    assert not (home.root / "federations").exists()


@pytest.mark.long
def test_an_unknown_partition_is_a_failed_run_that_names_the_known_ones(home: Home) -> None:
    launch = plan_launch(home, job="federated_lifecycle", sandbox="eyes_of", config={})
    finished = execute(launch, home, on_progress=lambda progress: None)
    assert not finished.succeeded
    assert "There is no sandbox named eyes_of" in finished.failures[0]
    assert "minimal, eyes_on" in finished.failures[0]
    assert not (home.root / "hospitals").exists()


def test_a_run_that_never_came_to_be_is_told_by_the_end_of_its_log(home: Home) -> None:
    launch = plan_launch(home, job="lifecycle", sandbox="minimal", config={})
    finished = execute(launch, home, on_progress=lambda progress: None)
    assert (finished.succeeded, finished.run_id) == (False, "")
    (line,) = finished.failures
    assert 'Job "lifecycle" not found' in line
    assert not (home.root / "hospitals").exists()


def test_what_waited_is_a_run_when_it_is_let_go_and_no_dead_one_before(home: Home) -> None:
    launch = plan_launch(home, job="federated_lifecycle", sandbox="eyes_of", config={})
    ready = made_ready(launch, home)
    with instance_of(home) as instance:  # which buries dead runs
        assert instance.get_runs() == []
    with started(launch, home, on_progress=lambda progress: None, ready=ready) as run:
        assert run.measured
        while (finished := run.ended()) is None:
            time.sleep(POLL_SECONDS)
        assert run.measured  # it failed before its report
    assert "There is no sandbox named eyes_of" in finished.failures[0]
    with instance_of(home) as instance:
        (known,) = instance.get_runs()
    assert known.run_id == finished.run_id
    assert known.tags["fed_assets/launch"] == launch.tag
    assert "There is no sandbox named eyes_of" in finished.log.read_text()
