"""Hospitals that die, stop or lose their connection in mid-round, in real federations."""

from __future__ import annotations

import signal
import time
from pathlib import Path

import pytest

from fed_assets.errors import JobFailed, QuorumNotMet, TimeLimitPassed
from fed_assets.federation.admin import COMMAND_SECONDS
from fed_assets.federation.aggregation import Update, fedavg
from fed_assets.federation.follow import STATUS_SECONDS
from fed_assets.federation.weights import read_weights
from fed_assets.privacy.digests import weights_digest
from fed_assets_tests.federation.tiny_executor import learn

pytestmark = pytest.mark.long

CUT = "fed_assets_tests.federation.cut_session"
SPAWNING = "fed_assets_tests.federation.spawning_session"
# Into a round: every hospital has its task by then.
MID_ROUND_SECONDS = 0.5
LIMIT_SECONDS = 4
KILLED = {
    2: ("worker_process hospital_05", "its job process ended (signal 9)"),
    3: ("client_train hospital_04", "its client ended (signal 9)"),
    4: ("supervisor hospital_03", "its client ended (signal 9)"),
}


def kill(session, title):
    """Kills a process in mid-round with `kill -9`, and returns when."""
    victim = session.named(title)
    time.sleep(MID_ROUND_SECONDS)
    victim.kill()
    return time.monotonic()


def rounds_kept(plan):
    return sorted(path.name for path in Path(plan.outbox, "rounds").iterdir())


def assert_rounds_hold_their_own_updates(plan, rounds):
    """Recomputes every round from the updates of those that took part in it."""
    weights = read_weights(Path(plan.initial_weights))
    for record in rounds:
        number = record["round_number"]
        weights = fedavg(
            [
                Update(
                    hospital=name,
                    examples=len(name),
                    weights=learn(weights, name, number, plan.seed),
                    report={},
                )
                for name in record["participants"]
            ]
        )
        assert weights_digest(weights) == record["global_digest"], number


@pytest.fixture(scope="module")
def killed(tmp_path_factory, write_plan, start_session, behave):
    """Runs five rounds, in three of which another of five hospitals is killed as it works.

    Yields the plan, the session and how many seconds each of these rounds went on.
    """
    plan = write_plan(tmp_path_factory.mktemp("killed"), hospitals=5, quorum=2, rounds=5)
    for round_number, (title, _) in KILLED.items():
        behave(plan, title.split()[1], {round_number: "hang"})
    session = start_session(plan)
    session.until("round")
    waited = {}
    for round_number, (title, _) in KILLED.items():
        killed_at = kill(session, title)
        session.until("round")
        waited[round_number] = time.monotonic() - killed_at
    assert session.finish() == 0, session.events
    return plan, session, waited


@pytest.mark.parametrize("round_number", KILLED)
def test_a_round_closes_at_once_without_a_hospital_that_is_killed(killed, round_number):
    _, session, waited = killed
    title, reason = KILLED[round_number]
    hospital = title.split()[1]
    assert waited[round_number] < 1
    for record in session.result["rounds"]:
        lost = record["round_number"] >= round_number
        assert record["missing"].get(hospital) == (reason if lost else None)


def test_a_loss_is_told_once_as_it_happens(killed):
    _, session, _ = killed
    told = [event for event in session.events if event["event"] == "lost"]
    expected = [(title.split()[1], reason) for title, reason in KILLED.values()]
    assert [(event["hospital"], event["reason"]) for event in told] == expected
    names = [event["event"] for event in session.events]
    assert names[3:] == ["round", *["lost", "round"] * 3, "round", "finished"]


def test_the_console_of_a_killed_hospital_says_how_it_ended(killed):
    plan, _, _ = killed
    consoles = {name: Path(plan.folder, "sites", name, "console.log") for name in plan.hospitals}
    assert "worker_process ended (signal 9)" in consoles["hospital_05"].read_text()
    assert "nvflare_process ended (signal 9)" in consoles["hospital_04"].read_text()


def test_a_run_that_lost_hospitals_is_degraded_and_right(killed):
    plan, session, _ = killed
    assert session.result["status"] == "degraded"
    assert_rounds_hold_their_own_updates(plan, session.result["rounds"])


def test_a_loss_below_the_quorum_ends_the_run_at_once_and_keeps_its_rounds(
    tmp_path, write_plan, start_session, behave
):
    plan = write_plan(tmp_path, rounds=3)
    behave(plan, "hospital_01", {2: "hang"})
    behave(plan, "hospital_02", {2: "hang"})
    session = start_session(plan)
    session.until("round")
    killed_at = kill(session, "client_train hospital_02")
    session.until("failed")
    failed_at = time.monotonic()
    assert session.finish() == 1
    assert isinstance(session.failure, QuorumNotMet)
    assert "Round 2 has 0 usable updates of 2 hospitals" in session.failure.what
    assert "hospital_02: its client ended (signal 9)" in session.failure.seen
    assert session.failure.where.endswith("hospital_02/console.log")
    assert Path(session.failure.where).is_file()
    assert rounds_kept(plan) == ["0001"]
    # Stopping everything is in it, which the session does before it tells.
    assert failed_at - killed_at < 8


def test_a_loss_below_the_quorum_before_the_job_has_begun_ends_the_run(
    tmp_path, write_plan, start_session
):
    session = start_session(write_plan(tmp_path))
    session.until("started")
    session.named("client_train hospital_02").kill()
    assert session.finish() == 1
    assert isinstance(session.failure, QuorumNotMet)
    assert session.failure.seen == "hospital_02: its client ended (signal 9)"


def test_a_spawned_job_process_that_dies_is_lost_like_a_forked_one(
    tmp_path, write_plan, start_session, behave
):
    plan = write_plan(tmp_path, hospitals=3, quorum=2)
    behave(plan, "hospital_03", {2: "die"})
    session = start_session(plan, module=SPAWNING)
    assert session.finish() == 0, session.events
    second = session.result["rounds"][1]
    assert second["missing"] == {"hospital_03": "its job process ended (exit code 3)"}


def test_a_killed_job_process_of_the_server_ends_the_run_and_keeps_its_rounds(
    tmp_path, write_plan, start_session, behave
):
    plan = write_plan(tmp_path, quorum=1)
    behave(plan, "hospital_01", {2: "hang"})
    session = start_session(plan)
    session.until("round")
    kill(session, "runner_process server")
    assert session.finish() == 1
    assert isinstance(session.failure, JobFailed)
    assert "The server's job process ended before the last round" in session.failure.what
    assert session.failure.seen == "signal 9"
    assert rounds_kept(plan) == ["0001"]


@pytest.fixture(scope="module")
def stopped(tmp_path_factory, write_plan, start_session, behave):
    """Runs rounds in which a hospital is stopped from the second to the fourth, then goes on."""
    plan = write_plan(
        tmp_path_factory.mktemp("stopped"),
        hospitals=3,
        quorum=2,
        rounds=8,
        round_timeout_seconds=LIMIT_SECONDS,
    )
    for hospital in plan.hospitals:
        behave(plan, hospital, dict.fromkeys(range(2, 9), "steady"))
    session = start_session(plan)
    session.until("round")
    processes = [
        session.named(f"{name} hospital_03") for name in ("worker_process", "client_train")
    ]
    time.sleep(MID_ROUND_SECONDS)
    for process in processes:
        process.send_signal(signal.SIGSTOP)
    for _ in range(3):
        session.until("round")
    for process in processes:
        process.send_signal(signal.SIGCONT)
    assert session.finish() == 0, session.events
    return plan, session


def test_a_hospital_that_stops_costs_the_limit_of_one_round(stopped):
    _, session = stopped
    second, third, fourth = session.result["rounds"][1:4]
    reason = f"it did not answer within {LIMIT_SECONDS} s in round 2"
    assert second["missing"] == {"hospital_03": reason}
    assert second["seconds"] == pytest.approx(LIMIT_SECONDS, abs=0.3)
    for record in (third, fourth):
        assert record["missing"] == {"hospital_03": reason}
        assert record["seconds"] < LIMIT_SECONDS / 2


def test_a_hospital_that_goes_on_takes_part_again_and_its_old_answer_is_dropped(stopped):
    plan, session = stopped
    assert [event["event"] for event in session.events].count("lost") == 0
    assert session.result["rounds"][-1]["missing"] == {}
    assert session.result["status"] == "degraded"
    assert_rounds_hold_their_own_updates(plan, session.result["rounds"])


def test_a_connection_that_is_cut_for_seconds_in_mid_round_costs_at_most_that_round(
    tmp_path, write_plan, start_session, behave
):
    plan = write_plan(tmp_path, hospitals=3, quorum=2, rounds=4)
    behave(plan, "hospital_01", {2: "slow"})
    session = start_session(plan, "5", module=CUT)
    session.until("cut")
    assert session.events[-1]["connections"] == 2, "its client's and its job's"
    assert session.finish() == 0, session.events
    _, second, third, fourth = session.result["rounds"]
    assert second["missing"].keys() <= {"hospital_01"}
    assert third["missing"] == fourth["missing"] == {}
    alarms = Path(plan.folder, "sites", "localhost", "alarms")
    assert not alarms.exists(), "who was cut off and comes back does not log in again"
    assert_rounds_hold_their_own_updates(plan, session.result["rounds"])


def test_a_server_that_leaves_questions_unanswered_for_a_while_does_not_end_the_run(
    tmp_path, write_plan, start_session, behave
):
    plan = write_plan(tmp_path, hospitals=2, rounds=3)
    behave(plan, "hospital_01", {2: "slow"})
    session = start_session(plan)
    session.until("round")
    server = session.named("server_train server")
    server.send_signal(signal.SIGSTOP)
    time.sleep(COMMAND_SECONDS + STATUS_SECONDS + 1)
    server.send_signal(signal.SIGCONT)
    assert session.finish() == 0, session.events
    assert session.result["status"] == "complete"
    assert session.result["rounds"][1]["seconds"] > COMMAND_SECONDS


def test_a_server_that_answers_nothing_for_as_long_as_a_round_may_take_ends_the_run(
    tmp_path, write_plan, start_session, behave
):
    plan = write_plan(tmp_path, hospitals=2, rounds=3, round_timeout_seconds=3)
    behave(plan, "hospital_01", {2: "slow"})
    session = start_session(plan)
    session.until("round")
    server = session.named("server_train server")
    server.send_signal(signal.SIGSTOP)
    stopped_at = time.monotonic()
    assert session.finish() == 1, session.events
    assert time.monotonic() - stopped_at > 3
    assert isinstance(session.failure, JobFailed | TimeLimitPassed)
    assert "get_job_meta" in str(session.failure)
