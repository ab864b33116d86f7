"""A federation that stays up between runs: two hospitals, real processes, real jobs."""

from __future__ import annotations

import json
import socket
import threading
import time
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psutil
import pytest

from fed_assets.errors import JobFailed, KitCopied, PortTaken, QuorumNotMet
from fed_assets.federation import warm
from fed_assets.federation.alarms import note_alarm
from fed_assets.federation.control import CONTROL_SOCKET
from fed_assets.federation.revocations import revoke
from fed_assets.federation.warm_folder import is_coming_up

pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def plan(tmp_path_factory, write_plan):
    root = tmp_path_factory.mktemp("warm")
    return write_plan(root, revocations=str(root / "revoked.json"))


@pytest.fixture(scope="module")
def folder(plan):
    """Returns the folder of a federation that is up, and takes it down at the end."""
    folder = Path(plan.folder).parent / "warm"
    warm.bring_up(plan, folder, lambda _: None)
    yield folder
    warm.take_down(folder)


@pytest.fixture
def job(plan, tmp_path):
    """Returns a plan with a folder and an outbox of its own."""
    return replace(plan, folder=str(tmp_path / "job"), outbox=str(tmp_path / "job" / "outbox"))


@pytest.fixture
def up_again(plan, folder):
    """Brings the federation up again after a test that breaks it."""
    yield
    warm.bring_up(plan, folder, lambda _: None)


@pytest.fixture
def misbehave(plan, behave):
    """Returns a function that has the first hospital misbehave, until the test is over."""
    yield lambda behaviours: behave(plan, "hospital_01", behaviours)
    behave(plan, "hospital_01", {})


def family(folder):
    process = psutil.Process(warm.status(folder)["pid"])
    return [process, *process.children(recursive=True)]


def called(folder, title):
    (found,) = [each for each in family(folder) if title in " ".join(each.cmdline())]
    return found


def alive(processes):
    left = []
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            if process.is_running() and process.status() != psutil.STATUS_ZOMBIE:
                left.append(process)
    return left


def wait_until(true, seconds=15):
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.05)


def idle(folder):
    return not warm.status(folder)["busy"]


def test_two_runs_share_it_and_end_alike(folder, job, tmp_path):
    before = warm.status(folder)
    second = replace(job, folder=str(tmp_path / "two"), outbox=str(tmp_path / "two" / "outbox"))
    told = []
    results = [warm.run(folder, each, told.append) for each in (job, second)]
    names = [event["event"] for event in told]
    assert names == ["submitted", "round", "round"] * 2
    assert results[0].status == "complete"
    assert results[0].final_digest == results[1].final_digest
    assert [len(result.rounds) for result in results] == [2, 2]
    after = warm.status(folder)
    assert after["pid"] == before["pid"]
    assert after["jobs"] == before["jobs"] + 2


def test_each_run_has_the_commands_that_were_issued_for_it_alone(folder, job):
    result = warm.run(folder, job, lambda _: None)
    commands = [command["command"] for command in result.commands]
    assert "submit_job" in commands
    assert "login" not in commands  # that was for the federation


def test_a_runs_logs_are_its_own_and_outlive_the_federation(folder, job, tmp_path):
    other = replace(job, folder=str(tmp_path / "two"), outbox=str(tmp_path / "two" / "outbox"))
    jobs = {}
    for plan in (job, other):
        told = []
        warm.run(folder, plan, told.append)
        jobs[plan.folder] = told[0]["job_id"]
    for kept, job_id in jobs.items():
        site = Path(kept, "sites", "localhost")
        assert [path.parent.name for path in site.glob("*/log.txt")] == [job_id]
        assert "Round 2: 2 updates" in (site / job_id / "log.txt").read_text()
        assert not site.is_symlink()


def test_it_says_what_it_costs(folder):
    wait_until(lambda: warm.status(folder)["processes"] == 8)  # the last job has wound down
    seen = warm.status(folder)
    assert seen["hospitals"] == ["hospital_01", "hospital_02"]
    assert seen["missing"] == []
    assert 20e6 < seen["memory_bytes"] < 2e9
    time.sleep(1)
    later = warm.status(folder)
    assert later["idle_seconds"] >= seen["idle_seconds"] + 1
    assert 0 <= later["idle_cpu_seconds"] <= 2 * later["idle_seconds"]


def test_a_run_that_is_left_is_aborted_and_the_next_one_works(folder, job, misbehave, tmp_path):
    class Left(Exception):
        pass

    def leave(event):
        if event["event"] == "submitted":
            wait_until(lambda: len(family(folder)) >= 11)  # its three job processes are there
            raise Left

    misbehave({1: "hang"})
    began = time.monotonic()
    with pytest.raises(Left):
        warm.run(folder, job, leave)
    assert time.monotonic() - began < 10
    misbehave({})
    wait_until(lambda: len(family(folder)) == 8)
    again = replace(job, folder=str(tmp_path / "two"), outbox=str(tmp_path / "two" / "outbox"))
    assert warm.run(folder, again, lambda _: None).status == "complete"


def test_a_second_run_is_refused_while_it_works_for_the_first(folder, job, misbehave, tmp_path):
    misbehave({1: "hang"})
    submitted, leave = threading.Event(), threading.Event()

    def hold(event):
        submitted.set()
        assert leave.wait(60)
        raise EOFError

    def first():
        with suppress(EOFError):
            warm.run(folder, job, hold)

    running = threading.Thread(target=first)
    running.start()
    assert submitted.wait(60)
    with pytest.raises(warm.Refused, match="another run"):
        warm.run(folder, replace(job, folder=str(tmp_path / "two")), lambda _: None)
    assert warm.status(folder)["busy"]
    leave.set()
    running.join()
    misbehave({})
    wait_until(lambda: idle(folder))


def test_a_failed_job_leaves_it_up(folder, job, misbehave, tmp_path):
    misbehave({2: "fail"})
    with pytest.raises(QuorumNotMet, match="Round 2 has 1 usable updates"):
        warm.run(folder, job, lambda _: None)
    misbehave({})
    again = replace(job, folder=str(tmp_path / "two"), outbox=str(tmp_path / "two" / "outbox"))
    assert warm.run(folder, again, lambda _: None).status == "complete"


def test_what_has_changed_since_it_came_up_is_named(folder, plan):
    seen = warm.status(folder)
    assert warm.unfit(seen, plan) is None
    assert warm.unfit(seen, replace(plan, rounds=9, seed=1)) is None  # each run brings its own
    other = replace(plan, transport="clear", hospitals=plan.hospitals[:1], quorum=1)
    assert warm.unfit(seen, other) == "changed since: hospitals, transport"


def test_an_alarm_over_a_hospital_makes_it_unfit_and_fails_the_next_run(folder, plan, job):
    alarms = folder / "federation" / "sites" / "localhost" / "alarms"
    assert warm.status(folder)["alarms"] == {}
    note_alarm(alarms, "hospital_02", "a copy")
    seen = warm.status(folder)
    assert warm.unfit(seen, plan) == "somebody else logged in with the certificate of hospital_02"
    with pytest.raises(KitCopied, match="certificate of hospital_02"):
        warm.run(folder, job, lambda _: None)
    (alarms / "hospital_02.json").unlink()
    assert warm.unfit(warm.status(folder), plan) is None


def test_a_revoked_hospital_is_turned_away_and_a_damaged_list_ends_it(folder, plan, up_again):
    listed = Path(plan.revocations)
    revoke(listed, "hospital_02")
    wait_until(lambda: warm.status(folder)["missing"] == ["hospital_02"])
    assert warm.unfit(warm.status(folder), plan) == "not there any more: hospital_02"
    processes = family(folder)
    listed.write_text("damaged")
    try:
        wait_until(lambda: alive(processes) == [])
        assert "nobody may take part" in (folder / "warm.log").read_text()
    finally:
        listed.unlink()


def test_certificates_that_end_before_a_run_may_make_it_unfit(folder, plan):
    seen = warm.status(folder)
    left = datetime.fromisoformat(seen["valid_until"]) - datetime.now(UTC)
    assert timedelta(days=7) < left < timedelta(days=7, seconds=plan.total_timeout_seconds + 1)
    ends = datetime.now(UTC) + timedelta(seconds=plan.total_timeout_seconds)
    for late, reason in ((60, None), (-60, "its certificates end before the run may")):
        then = {**seen, "valid_until": (ends + timedelta(seconds=late)).isoformat()}
        assert (warm.unfit(then, plan) or "None").startswith(str(reason))


def test_it_lies_where_this_user_alone_can_reach_it(folder):
    assert folder.stat().st_mode & 0o077 == 0
    links = psutil.Process(warm.status(folder)["pid"]).net_connections(kind="inet")
    assert [link for link in links if link.status == psutil.CONN_LISTEN] == []


def test_a_frozen_hospital_makes_it_unfit(folder, plan):
    client = called(folder, "client_train uid=hospital_02")
    client.suspend()
    try:
        wait_until(lambda: warm.status(folder)["missing"] == ["hospital_02"])
    finally:
        client.resume()
    wait_until(lambda: warm.unfit(warm.status(folder), plan) is None)


def test_taken_down_in_the_middle_of_a_job_it_says_so(folder, up_again, job, misbehave):
    misbehave({1: "hang"})

    def take_down(event):
        threading.Thread(target=warm.take_down, args=(folder,)).start()

    with pytest.raises(JobFailed, match="was taken down in the middle of the job"):
        warm.run(folder, job, take_down)
    wait_until(lambda: warm.status(folder) is None)


def test_a_hospital_whose_client_was_killed_makes_it_unfit_until_it_comes_up_anew(
    folder, plan, job
):
    called(folder, "client_train uid=hospital_02").kill()
    wait_until(lambda: warm.status(folder)["missing"] == ["hospital_02"])
    assert warm.unfit(warm.status(folder), plan) == "not there any more: hospital_02"
    before = family(folder)
    warm.bring_up(plan, folder, lambda _: None)
    assert alive(before) == []
    assert warm.run(folder, job, lambda _: None).status == "complete"


@pytest.mark.parametrize("victim", ["server_train uid=server", "federation.template"])
def test_without_server_or_template_it_ends_and_leaves_nothing(folder, up_again, victim):
    processes = family(folder)
    called(folder, victim).kill()
    wait_until(lambda: alive(processes) == [])
    assert warm.status(folder) is None
    assert (
        "ended" in (folder / "warm.log").read_text() or "lost" in (folder / "warm.log").read_text()
    )
    assert not (folder / CONTROL_SOCKET).exists()


def test_killed_itself_it_takes_everything_with_it(folder, up_again):
    processes = family(folder)
    assert list(folder.rglob("*.key")) != []
    processes[0].kill()
    wait_until(lambda: alive(processes) == [])
    assert warm.status(folder) is None
    assert not (folder / "control.sock").exists()
    assert list(folder.rglob("*.key")) == []
    with pytest.raises(warm.Refused, match="not up"):
        warm.run(folder, warm_plan(folder), lambda _: None)


def warm_plan(folder):
    from fed_assets.federation.plan import FederationPlan

    return FederationPlan.from_json(json.loads((folder / "plan.json").read_text()))


def test_down_leaves_no_process_and_no_port(folder, up_again):
    processes = family(folder)
    ports = {
        link.laddr.port
        for process in processes
        for link in process.net_connections(kind="tcp")
        if link.status == psutil.CONN_LISTEN
    }
    assert ports
    assert warm.take_down(folder)
    assert alive(processes) == []
    for port in ports:
        with socket.socket() as probe:
            assert probe.connect_ex(("127.0.0.1", port)) != 0
    assert not warm.take_down(folder)


def test_until_its_last_process_has_ended_it_is_not_said_to_be_gone(folder, up_again, job):
    processes = family(folder)
    called(folder, "server_train uid=server").suspend()  # it is given some seconds, and killed
    ending = threading.Thread(target=warm.take_down, args=(folder,))
    ending.start()
    wait_until(lambda: len(alive(processes)) < len(processes))
    with pytest.raises(warm.Refused):
        warm.run(folder, job, print)
    assert alive(processes[1:]) == []
    assert warm.status(folder) is None
    ending.join()


def test_one_that_is_coming_up_is_awaited_and_taken_down(folder, up_again, plan):
    warm.take_down(folder)
    told = []
    coming = threading.Thread(target=warm.bring_up, args=(plan, folder, told.append))
    coming.start()
    wait_until(lambda: told)  # it is provisioned, and not up
    assert is_coming_up(folder)
    assert warm.status(folder) is None
    assert warm.take_down(folder)
    coming.join()
    assert told[-1]["event"] == "up"
    assert warm.status(folder) is None
    assert not is_coming_up(folder)
    assert list(folder.rglob("*.key")) == []


def test_one_that_cannot_start_says_why_and_leaves_nothing(tmp_path, write_plan):
    with socket.create_server(("127.0.0.1", 0)) as holder:
        taken = write_plan(tmp_path, port=holder.getsockname()[1])
        with pytest.raises(PortTaken):
            warm.bring_up(taken, tmp_path / "warm", lambda _: None)
    assert warm.status(tmp_path / "warm") is None
    holds = str(tmp_path / "warm")
    left = [each for each in alive(psutil.process_iter()) if runs_in(each, holds)]
    assert left == []


def runs_in(process, folder):
    try:
        return process.cwd().startswith(folder)
    except (psutil.Error, OSError):
        return False
