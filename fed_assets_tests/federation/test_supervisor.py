"""What a site can have its supervisor do, and what it cannot: real processes, real channels."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from fed_assets_tests.federation.conftest import PROJECT

ASKING = "fed_assets_tests.federation.asking_site"


def ask(workspace, victim, code="0"):
    command = [sys.executable, "-m", ASKING, str(workspace), str(victim), code, "." * 160]
    ran = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, timeout=60)
    return int(ran.stdout)


@pytest.fixture(scope="module")
def asked(tmp_path_factory):
    """Returns the workspace, what came of the requests, and a bystander that should still live."""
    workspace = tmp_path_factory.mktemp("federation") / "sites" / "hospital_01"
    workspace.mkdir(parents=True)
    with subprocess.Popen(["sleep", "30"]) as bystander:
        assert ask(workspace, bystander.pid) == 0, (workspace / "console.log").read_text()
        alive = bystander.poll() is None
        bystander.kill()
    return workspace, json.loads((workspace / "answers.json").read_text()), alive


def job(workspace, name):
    return json.loads((workspace / f"{name}.json").read_text())


def test_a_site_can_end_its_own_processes_alone(asked):
    assert asked[2]


def test_a_job_in_another_workspace_is_refused(asked):
    workspace, answers, _ = asked
    assert answers["codes"] == {"first": 0, "second": 0, "other workspace": 1, "nonsense": 2}
    assert "another site's workspace" in (workspace / "console.log").read_text()
    assert not Path("/tmp/never.json").exists()


def test_a_process_finds_the_environment_of_its_site_and_nothing_of_the_template(asked):
    workspace, answers, _ = asked
    for process in (answers["main"], job(workspace, "first")):
        environment = process["environment"]
        assert "A_SECRET" not in environment
        assert "LD_PRELOAD" not in environment
        assert environment["HOME"] == process["folder"] == str(workspace)
        assert environment["TMPDIR"] == str(workspace.parent.parent / "tmp" / "hospital_01")
    assert job(workspace, "first")["environment"]["NVFLARE_JOB_AUTH_TOKEN"] == "token"
    assert "NVFLARE_JOB_AUTH_TOKEN" not in answers["main"]["environment"]


def test_every_process_leads_a_session_and_descends_from_the_supervisor(asked):
    workspace, answers, _ = asked
    processes = [answers["main"], job(workspace, "first"), job(workspace, "second")]
    assert [process["session"] for process in processes] == [each["pid"] for each in processes]
    assert len({process["parent"] for process in processes}) == 1


def test_a_job_does_not_hold_the_channel_to_the_supervisor(asked):
    workspace, answers, _ = asked
    assert answers["main"]["channel"]
    assert not job(workspace, "first")["channel"]


def test_processes_are_called_by_what_they_are(asked):
    workspace, answers, _ = asked
    assert answers["main"]["title"].rstrip("\0") == f"{ASKING} uid=hospital_01"
    assert job(workspace, "first")["title"].rstrip("\0") == f"{ASKING} hospital_01"


def test_no_two_processes_draw_the_same_random_numbers(asked):
    workspace, answers, _ = asked
    draws = [answers["main"]["random"], *(job(workspace, n)["random"] for n in ("first", "second"))]
    assert len({number for draw in draws for number in draw}) == 9


def test_what_a_site_prints_lies_in_its_workspace_for_this_user_alone(asked):
    assert (asked[0] / "console.log").stat().st_mode & 0o077 == 0


@pytest.mark.parametrize(("said", "code"), [("7", 7), ("killed", -signal.SIGKILL)])
def test_a_supervisor_tells_how_a_process_ended(tmp_path, said, code):
    assert ask(tmp_path, psutil.Process().pid, said) == code
