"""Rounds in which hospitals fail, lie or fall silent, in real federations."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import pytest

from fed_assets.errors import FederationDidNotStart, QuorumNotMet, StorageError
from fed_assets.federation.history import read_history
from fed_assets.federation.plan import FederationPlan

pytestmark = pytest.mark.long

OBSERVED = "fed_assets_tests.federation.observed_session"
BAD_ROUNDS = {
    1: ("fail", "EXECUTION_EXCEPTION: The images were never validated"),
    2: ("raise", "EXECUTION_EXCEPTION"),
    3: ("nan", "numbers that are not finite"),
    4: ("shape", "has shape"),
    5: ("names", "names are missing"),
    6: ("forged", "its digest is not that of the weights received"),
    7: ("none", "EXECUTION_RESULT_ERROR"),
    8: ("nothing", "unreadable"),
    9: ("empty", "names are missing"),
    10: ("flood", "it did not answer within 6 s"),
    11: ("garbled", "it did not answer within 6 s"),
    12: ("late", "it did not answer within 6 s"),
}


@pytest.fixture(scope="module")
def degraded(tmp_path_factory, write_plan, start_session, behave):
    plan = write_plan(
        tmp_path_factory.mktemp("degraded"),
        hospitals=3,
        quorum=2,
        rounds=13,
        round_timeout_seconds=6,
    )
    behave(plan, "hospital_02", {number: name for number, (name, _) in BAD_ROUNDS.items()})
    # Into the last round, hospital_02 is still at work for the one before: it is late by 2 s.
    behave(plan, "hospital_01", {13: "slow"})
    session = start_session(plan)
    assert session.finish() == 0, session.events
    return session.result


@pytest.mark.parametrize("round_number", BAD_ROUNDS)
def test_a_round_goes_on_without_a_bad_answer_and_says_why(degraded, round_number):
    behaviour, reason = BAD_ROUNDS[round_number]
    record = degraded["rounds"][round_number - 1]
    assert list(record["missing"]) == ["hospital_02"], behaviour
    assert reason in record["missing"]["hospital_02"]
    assert list(record["participants"]) == ["hospital_01", "hospital_03"]


def test_a_hospital_that_was_late_takes_part_again(degraded):
    assert degraded["rounds"][12]["missing"] == {}


def test_a_run_that_missed_a_hospital_in_any_round_is_degraded(degraded):
    assert degraded["status"] == "degraded"


def test_below_the_quorum_the_run_fails_and_names_the_hospital_and_keeps_its_rounds(
    tmp_path, write_plan, start_session, behave
):
    plan = write_plan(tmp_path)
    behave(plan, "hospital_02", {2: "fail"})
    session = start_session(plan)
    assert session.finish() == 1
    assert isinstance(session.failure, QuorumNotMet)
    assert "Round 2 has 1 usable updates of 2 hospitals" in str(session.failure)
    assert "hospital_02: its executor answered EXECUTION_EXCEPTION" in session.failure.seen
    assert sorted(path.name for path in Path(plan.outbox, "rounds").iterdir()) == ["0001"]
    issued = [command.command for command in read_history(Path(plan.folder, "commands.jsonl"))]
    assert issued[0] == "login"
    assert "submit_job" in issued


def test_a_failed_run_goes_on_in_the_same_outbox_after_its_last_whole_round(
    tmp_path, write_plan, start_session, behave
):
    plan = write_plan(tmp_path, rounds=3)
    behave(plan, "hospital_02", {2: "fail"})
    assert start_session(plan).finish() == 1
    behave(plan, "hospital_02", {})
    rounds = Path(plan.outbox, "rounds")
    second = FederationPlan.from_json(
        {
            **asdict(plan),
            "folder": str(tmp_path / "again" / "federation"),
            "start_round": 2,
            "initial_weights": str(rounds / "0001" / "global.safetensors"),
        }
    )
    (tmp_path / "again").mkdir()
    session = start_session(second)
    assert session.finish() == 0, session.events
    assert sorted(path.name for path in rounds.iterdir()) == ["0001", "0002", "0003"]
    assert session.result["status"] == "complete"
    assert [record["round_number"] for record in session.result["rounds"]] == [1, 2, 3]


def test_a_job_process_that_dies_below_the_quorum_is_named_with_its_console(
    tmp_path, write_plan, start_session, behave
):
    plan = write_plan(tmp_path)
    behave(plan, "hospital_02", {2: "die"})
    session = start_session(plan)
    assert session.finish() == 1
    assert isinstance(session.failure, QuorumNotMet)
    assert "of 2 hospitals, and the quorum is 2" in session.failure.what
    assert "hospital_02: its job process ended (exit code 3)" in session.failure.seen
    assert session.failure.where.endswith("hospital_02/console.log")


def test_an_executor_that_no_hospital_can_import_ends_the_run_with_their_names(
    tmp_path, write_plan, start_session
):
    session = start_session(write_plan(tmp_path, executor="fed_assets.federation.nowhere.Nothing"))
    assert session.finish() == 1
    assert isinstance(session.failure, QuorumNotMet)
    assert "Round 1 has 0 usable updates" in session.failure.what
    assert "its job process ended (exit code " in session.failure.seen


def test_a_missing_file_of_initial_weights_is_named(tmp_path, write_plan, start_session):
    plan = write_plan(tmp_path)
    Path(plan.initial_weights).unlink()
    session = start_session(plan)
    assert session.finish() == 1
    assert session.failure.where == plan.initial_weights
    assert not Path(plan.folder).exists()


def test_a_hospital_whose_client_does_not_start_is_missing_and_the_others_go_on(
    tmp_path, write_plan, start_session
):
    plan = write_plan(tmp_path, hospitals=3, quorum=2, rounds=1)
    arguments = (str(tmp_path / "observed.json"), "hospital_03")
    session = start_session(plan, *arguments, module=OBSERVED)
    assert session.finish() == 0
    started = next(event for event in session.events if event["event"] == "started")
    assert (started["ready"], started["absent"]) == (
        ["hospital_01", "hospital_02"],
        ["hospital_03"],
    )
    reason = session.result["rounds"][0]["missing"]["hospital_03"]
    assert reason.startswith("its client ended (exit code ")
    assert session.result["status"] == "degraded"


def test_too_few_clients_to_start_are_named(tmp_path, write_plan, start_session):
    plan = write_plan(tmp_path, hospitals=2, rounds=1)
    arguments = (str(tmp_path / "observed.json"), "hospital_02")
    session = start_session(plan, *arguments, module=OBSERVED)
    assert session.finish() == 1
    assert isinstance(session.failure, FederationDidNotStart)
    assert "1 of 2 hospitals are ready" in session.failure.what
    assert "not ready: hospital_02" in session.failure.what


def test_a_full_disk_ends_the_run_and_keeps_the_whole_rounds(
    tmp_path, write_plan, start_session, small_disk
):
    plan = write_plan(tmp_path, rounds=30, outbox=str(small_disk("100k")))
    session = start_session(plan)
    assert session.finish() == 1
    assert isinstance(session.failure, StorageError)
    assert "No space left on device" in session.failure.seen
    told = [event for event in session.events if event["event"] == "round"]
    rounds = sorted(Path(plan.outbox, "rounds").iterdir())
    assert len(rounds) == len(told) > 2
    assert all((path / "global.safetensors").stat().st_size > 512 for path in rounds)
