from __future__ import annotations

import json
import os
import re
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest
import yaml

from fed_assets.federation.history import Command, History
from fed_assets.resources.artifact_store import write_whole
from fed_assets.resources.home import Home
from fed_assets.sandboxes.presets import EYES_ON, SANDBOX_NAMES
from fed_assets_tests.lineages import small_report
from fed_assets_tests.networks import SMALL_RESNET

ROSTER = {
    "title": "Two small hospitals",
    "data": {"source": {"kind": "phantom", "images": 120, "test_images": 30, "size": 28}},
    "hospitals": [{"id": "north", "name": "North"}, {"id": "south", "name": "South"}],
    "network": SMALL_RESNET,
    "rounds": 2,
}
INTERVAL = {"value": 0.9, "low": 0.8, "high": 0.95}
RESULT = {"images": 30, "auroc": INTERVAL, "accuracy": INTERVAL, "f1": INTERVAL}
REPORT = {
    "sandbox": "minimal",
    "data": {"name": "synthetic chest X-rays", "digest": "d", "synthetic": True},
    "participants": ["north", "south"],
    "rounds": 2,
    "seconds": 12.5,
    "degraded": False,
    "shortfalls": [],
    "test": RESULT,
    "hospitals": {"north": RESULT, "south": RESULT},
}
Cli = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    (tmp_path / "roster.yaml").write_text(yaml.safe_dump(ROSTER))
    known = {name: value for name, value in os.environ.items() if "FED_ASSETS" not in name}
    return known | {
        "FED_ASSETS_HOME": str(tmp_path / "home"),
        "FED_ASSETS_ROSTER": str(tmp_path / "roster.yaml"),
        "COLUMNS": "200",
        "BROWSER": "true",  # the program, which opens nothing
    }


@pytest.fixture
def cli(environment: dict[str, str], tmp_path: Path) -> Cli:
    """Returns a function that runs `fed-assets` in a process of its own."""

    def cli(*arguments: str, **changes: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "fed_assets.cli", *arguments],
            capture_output=True,
            text=True,
            cwd=tmp_path,
            env=environment | changes,
        )

    return cli


def put_report(tmp_path: Path, report: dict[str, Any]) -> None:
    folder = Home(tmp_path / "home").report("minimal")
    write_whole(folder / "report.json", json.dumps(report).encode())
    write_whole(folder / "report.html", b"<html></html>")


def lines(text: str) -> list[str]:
    return [line for line in text.splitlines() if line.strip()]


def test_every_command_has_help(cli: Cli) -> None:
    shown = cli("--help").stdout
    assert "run a sandbox, read its report" in shown
    for command in (
        *("run", "report", "sandboxes", "doctor", "home", "data"),
        *("federation", "logs", "outbox", "posture", "rotate-key", "serve"),
    ):
        assert re.search(rf"\b{command}\b +\w", shown)


@pytest.mark.parametrize("arguments", [("run", "eyes_of"), ("report", "eyes_of")])
def test_a_wrong_sandbox_ends_in_one_line_with_the_right_ones(
    cli: Cli, tmp_path: Path, arguments: tuple[str, ...]
) -> None:
    ran = cli(*arguments)
    assert ran.returncode == 1
    (line,) = lines(ran.stderr)
    assert line.startswith("Error: There is no sandbox named eyes_of.")
    assert "minimal, eyes_on" in line
    assert ran.stdout == ""
    assert not (tmp_path / "home").exists()


def test_a_refused_sandbox_ends_in_one_line_that_names_control_and_value(
    cli: Cli, tmp_path: Path
) -> None:
    own = EYES_ON.controls() | {
        "update_protection": "secure_aggregation",
        "aggregation": "trimmed_mean",
    }
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(own))
    ran = cli("run", "configurable", FED_ASSETS_SANDBOX="mine.yaml")
    assert ran.returncode == 1
    (line,) = lines(ran.stderr)
    assert line.startswith(
        "Error: Sandbox configurable declares update_protection=secure_aggregation "
        "with aggregation=trimmed_mean, which cannot hold together"
    )
    assert not (tmp_path / "home").exists()


def test_a_roster_that_takes_back_what_a_sandbox_promises_ends_in_one_line(
    cli: Cli, tmp_path: Path
) -> None:
    own = EYES_ON.controls() | {"aggregation": "trimmed_mean"}
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(own))
    (tmp_path / "roster.yaml").write_text(
        yaml.safe_dump(ROSTER | {"aggregation": {"rule": "fedopt"}})
    )
    ran = cli("run", "configurable", FED_ASSETS_SANDBOX="mine.yaml")
    assert ran.returncode == 1
    (line,) = lines(ran.stderr)
    assert line.startswith(
        "Error: Sandbox configurable declares aggregation=trimmed_mean, and the roster asks for"
    )
    assert not (tmp_path / "home").exists()


def test_a_broken_roster_ends_in_one_line_before_anything_is_written(
    cli: Cli, tmp_path: Path
) -> None:
    (tmp_path / "roster.yaml").write_text(yaml.safe_dump(ROSTER | {"roundz": 3}))
    ran = cli("run", "minimal")
    assert ran.returncode == 1
    (line,) = lines(ran.stderr)
    assert "unknown entry roundz" in line
    assert "Did you mean `rounds`?" in line
    assert not (tmp_path / "home").exists()


@pytest.mark.parametrize(
    "option", [("--rounds", "0"), ("--rounds", "x"), ("--seed", "-1"), ("--job", "lifecycle")]
)
def test_an_option_out_of_range_is_refused_before_the_run(
    cli: Cli, option: tuple[str, str]
) -> None:
    ran = cli("run", "minimal", *option)
    assert ran.returncode == 2
    assert option[0] in ran.stderr


def test_retrain_cannot_leave_out_a_hospital(cli: Cli) -> None:
    ran = cli("run", "minimal", "--job", "retrain", "--leave-out", "north")
    assert ran.returncode == 1
    (line,) = lines(ran.stderr)
    assert "Run federated_lifecycle with --leave-out" in line


@pytest.mark.parametrize("option", [("--rounds", "3"), ("--leave-out", "north")])
def test_a_deployment_trains_nothing_anew(cli: Cli, option: tuple[str, str]) -> None:
    ran = cli("run", "minimal", "--job", "deployment", *option)
    assert ran.returncode == 1
    (line,) = lines(ran.stderr)
    assert "deployment takes the last model as it is" in line
    assert "Run federated_lifecycle or retrain with that" in line


def test_a_comparison_cannot_both_measure_anew_and_take_what_is_stored(cli: Cli) -> None:
    ran = cli("compare", "--stored", "--again")
    assert ran.returncode == 1
    (line,) = lines(ran.stderr)
    assert "Give one of the two" in line


def test_a_report_before_any_run_says_how_to_make_one(cli: Cli) -> None:
    for options in ((), ("--json",), ("--markdown",)):
        ran = cli("report", "minimal", *options)
        assert ran.returncode == 1
        (line,) = lines(ran.stderr)
        assert "no report of the sandbox minimal yet" in line
        assert "fed-assets run minimal" in line


def test_the_report_as_json_is_json_and_nothing_else(cli: Cli, tmp_path: Path) -> None:
    put_report(tmp_path, REPORT)
    ran = cli("report", "minimal", "--json", COLUMNS="40")
    assert ran.returncode == 0
    assert json.loads(ran.stdout) == REPORT
    assert ran.stderr == ""


def test_the_report_as_markdown_is_its_tables_and_nothing_else(cli: Cli, tmp_path: Path) -> None:
    put_report(tmp_path, small_report())
    ran = cli("report", "minimal", "--markdown")
    assert (ran.returncode, ran.stderr) == (0, "")
    assert ran.stdout.startswith("**SYNTHETIC DATA: made up, not from patients**\n")
    assert "| AUROC | 0.900 (0.850–0.950) |" in ran.stdout  # noqa: RUF001
    assert "| The north hospital | 9 |" in ran.stdout


def test_the_report_is_shown_with_its_page(cli: Cli, tmp_path: Path) -> None:
    put_report(tmp_path, REPORT)
    shown = cli("report", "minimal").stdout
    assert "SYNTHETIC DATA" in shown
    assert "2 of 2 hospitals" in shown
    for place in ("common test set", "north", "south"):
        assert place in shown
    assert str(Home(tmp_path / "home").report("minimal") / "report.html") in shown


def test_the_report_says_the_most_that_a_hospital_has_spent_of_its_budget(
    cli: Cli, tmp_path: Path
) -> None:
    put_report(tmp_path, REPORT)
    assert "Privacy" not in cli("report", "minimal").stdout
    sent = {"north": {"epsilon": 6.2, "delta": 1e-5}, "south": {"epsilon": 7.996, "delta": 1e-5}}
    numbers = {"update_protection": {"epsilon": 8.0, "delta": 1e-5, "max_grad_norm": 1.0}}
    put_report(tmp_path, REPORT | {"sent": sent, "numbers": numbers})
    assert lines(cli("report", "minimal").stdout)[-2] == (
        "Privacy: epsilon 8.00 of 8 is spent at south, the most of 2 hospitals; delta 1e-05"
    )
    put_report(tmp_path, REPORT | {"sent": {}, "numbers": numbers})
    assert "Privacy: nothing of epsilon 8 is spent" in cli("report", "minimal").stdout


def put_run(tmp_path: Path) -> Path:
    """Leaves what a run leaves behind that issued two commands, one of them polled."""
    folder = Home(tmp_path / "home").federation("minimal", "1a2b3c4d-0000")
    folder.mkdir(parents=True)
    history = History(folder / "commands.jsonl")
    history.note(Command("submit_job", "2026-01-01T10:00:00+00:00", 0.25, "[9]"))
    for answer in ("RUNNING", "FINISHED:COMPLETED"):
        history.note(Command("get_job_meta [9]", "2026-01-01T10:00:01+00:00", 1.5, answer))
    return folder


def test_the_history_lists_every_command_with_its_answer(cli: Cli, tmp_path: Path) -> None:
    put_run(tmp_path)
    rows = [line for line in cli("federation", "history", "minimal").stdout.splitlines()]
    (submitted,) = [row for row in rows if "submit_job" in row]
    for shown in ("1a2b3c4d", "2026-01-01", "0.25", "[9]"):
        assert shown in submitted
    (polled,) = [row for row in rows if "get_job_meta [9] (x2)" in row]
    assert "FINISHED:COMPLETED" in polled


def test_the_history_as_json_is_json_and_nothing_else(cli: Cli, tmp_path: Path) -> None:
    assert json.loads(cli("federation", "history", "minimal", "--json").stdout) == []
    put_run(tmp_path)
    ran = cli("federation", "history", "minimal", "--json", COLUMNS="40")
    (run,) = json.loads(ran.stdout)
    assert run["run"] == "1a2b3c4d"
    assert [each["command"] for each in run["commands"]] == ["submit_job", "get_job_meta [9]"]
    assert run["commands"][1]["times"] == 2
    assert ran.stderr == ""


def test_the_history_of_a_sandbox_that_is_none_is_refused(cli: Cli) -> None:
    ran = cli("federation", "history", "eyes_of")
    assert ran.returncode == 1
    (line,) = lines(ran.stderr)
    assert "There is no sandbox named eyes_of" in line


def test_logs_of_an_unknown_run_end_in_one_line(cli: Cli) -> None:
    ran = cli("logs", "1a2b3c4d", "north")
    assert (ran.returncode, ran.stdout) == (1, "")
    (line,) = lines(ran.stderr)
    assert "There is no run 1a2b3c4d that trained" in line


def test_the_sandboxes_that_can_run_are_names_alone(cli: Cli) -> None:
    assert cli("sandboxes", "--runnable").stdout.split() == list(SANDBOX_NAMES)


def test_all_sandboxes_are_shown_with_what_is_simulated(cli: Cli) -> None:
    rows = {line.split()[1]: line for line in cli("sandboxes").stdout.splitlines() if "│" in line}
    assert rows["transport"].count("mtls") == 4
    assert rows["process"].count("confined") == 3
    assert not any("(refused)" in row for row in rows.values())
    wide = cli("sandboxes", COLUMNS="400").stdout
    assert "attested (SIMULATED)" in wide
    assert "differential privacy, epsilon 8, delta 1e-05, max_grad_norm 1" in wide
    assert "clip, max_norm 5, max_statistics_norm 30" in wide
    assert "secure aggregation, max_norm 5, max_statistics_norm 30" in wide
    assert "trimmed mean, tolerated 2" in wide
    assert "fedavg," not in wide and "none," not in wide


def test_a_broken_sandbox_yaml_ends_in_one_line(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text("transport: mtls\n")
    ran = cli("sandboxes", FED_ASSETS_SANDBOX="mine.yaml")
    assert ran.returncode == 1
    (line,) = lines(ran.stderr)
    assert "leaves out the control storage" in line


def test_doctor_passes_a_machine_that_is_set_up(cli: Cli) -> None:
    ran = cli("doctor")
    assert ran.returncode == 0, ran.stdout
    assert "2 hospitals" in ran.stdout


def test_doctor_fails_with_the_cure_where_something_is_missing(cli: Cli) -> None:
    ran = cli("doctor", FED_ASSETS_ROSTER="no[ne].yaml")
    assert ran.returncode == 1
    assert "no[ne].yaml" in ran.stdout
    assert "Set FED_ASSETS_ROSTER" in ran.stdout


def test_home_is_made_closed_and_dagsters_folder_printed(cli: Cli, tmp_path: Path) -> None:
    assert cli("home").stdout == f"{tmp_path}/home/dagster\n"
    assert stat.S_IMODE((tmp_path / "home").stat().st_mode) == 0o700
    assert (tmp_path / "home" / "dagster" / "dagster.yaml").is_file()


def test_data_that_is_on_this_machine_is_found_and_not_fetched(
    cli: Cli, real_data: Path, tmp_path: Path
) -> None:
    ran = cli("data", "fetch", "pneumoniamnist", FED_ASSETS_DATA=str(real_data))
    assert (ran.returncode, ran.stdout) == (0, f"{real_data / 'pneumoniamnist.npz'}\n")
    assert not (tmp_path / "home").exists()


def test_unknown_and_wrong_data_end_in_one_line(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "pneumoniamnist.npz").write_bytes(b"mine")
    for name, said in (("pneumonia", "no public data set"), ("pneumoniamnist", "not the official")):
        ran = cli("data", "fetch", name, FED_ASSETS_DATA=str(tmp_path))
        assert ran.returncode == 1
        (line,) = lines(ran.stderr)
        assert said in line


def test_retrain_before_any_run_says_what_is_missing(cli: Cli) -> None:
    ran = cli("run", "minimal", "--job", "retrain")
    assert ran.returncode == 1
    failure, log = lines(ran.stderr)
    assert failure.startswith("minimal: The asset federation_roster has no value in this sandbox.")
    assert Path(log.rpartition(" ")[2]).is_file()


@pytest.mark.long
@pytest.mark.parametrize("polite_end", [signal.SIGINT, signal.SIGTERM])
def test_a_run_that_is_interrupted_leaves_no_process(
    environment: dict[str, str], tmp_path: Path, polite_end: signal.Signals
) -> None:
    run = subprocess.Popen(
        [sys.executable, "-m", "fed_assets.cli", "run", "minimal"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=tmp_path,
        env=environment,
    )
    process = psutil.Process(run.pid)
    end = time.monotonic() + 120
    while not list(tmp_path.glob("home/hospitals/*/minimal")):  # a hospital's process is at work
        assert run.poll() is None, run.communicate()
        assert time.monotonic() < end
        time.sleep(0.05)
    started = process.children(recursive=True)
    assert started
    run.send_signal(polite_end)
    _, told = run.communicate(timeout=60)
    assert run.returncode == 130
    assert "everything that was started has been stopped" in told
    _, alive = psutil.wait_procs(started, timeout=10)
    assert alive == []


@pytest.mark.long
def test_a_killed_run_leaves_no_process_and_the_next_one_is_not_kept_waiting(
    environment: dict[str, str], tmp_path: Path, cli: Cli
) -> None:
    run = subprocess.Popen(
        [sys.executable, "-m", "fed_assets.cli", "run", "minimal"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        cwd=tmp_path,
        env=environment,
    )
    end = time.monotonic() + 90
    while not list(tmp_path.glob("home/federations/minimal/*/sites")):  # the pool's place is taken
        assert run.poll() is None
        assert time.monotonic() < end
        time.sleep(0.05)
    started = psutil.Process(run.pid).children(recursive=True)
    assert len(started) >= 2
    run.kill()
    run.wait()
    _, alive = psutil.wait_procs(started, timeout=15)
    assert [each for each in alive if each.status() != psutil.STATUS_ZOMBIE] == []
    ran = cli("run", "minimal", "--rounds", "1")
    assert ran.returncode == 0, ran.stderr


@pytest.mark.long
def test_a_run_ends_with_its_report(cli: Cli, tmp_path: Path) -> None:
    ran = cli("run", "minimal", "--rounds", "1")
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "$ dagster job execute -m fed_assets -j federated_lifecycle" in ran.stdout
    assert "minimal: 1 rounds" in ran.stdout
    assert "SYNTHETIC DATA" in ran.stdout
    report = json.loads(cli("report", "minimal", "--json").stdout)
    assert report["participants"] == ["north", "south"]
    assert report["rounds"] == 1
    assert set(report["test"]["auroc"]) == {"value", "low", "high"}
    assert report["hospitals"].keys() == {"north", "south"}
