"""Weights that travel as files, in real federations: good updates, bad ones, and ones cut short."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from fed_assets.errors import QuorumNotMet, StorageError
from fed_assets.federation.weights import LARGE_BYTES
from fed_assets_tests.federation.test_losses import CUT, assert_rounds_hold_their_own_updates

pytestmark = pytest.mark.long

# As float32 a little more than what travels inside a message.
SHAPE = (1000, LARGE_BYTES // 4000 + 1)
BAD_ROUNDS = {
    1: ("fail", "EXECUTION_EXCEPTION: The images were never validated"),
    2: ("nan", "numbers that are not finite"),
    3: ("shape", "has shape"),
    4: ("names", "names are missing"),
    5: ("forged", "its digest is not that of the weights received"),
    6: ("nothing", "its executor answered TASK_RESULT_FILTER_ERROR"),
    7: ("twice", "its update did not come (more than 8,0"),
    8: ("hang", "it did not answer within 6 s"),
}


@pytest.fixture(scope="module")
def degraded(tmp_path_factory, write_plan, start_session, behave):
    """Returns the plan and the result of nine rounds, in all but the last of which one is bad."""
    root = tmp_path_factory.mktemp("large")
    limits = {"quorum": 2, "rounds": 9, "round_timeout_seconds": 6}
    plan = write_plan(root, hospitals=3, shape=SHAPE, **limits)
    behave(plan, "hospital_02", {number: name for number, (name, _) in BAD_ROUNDS.items()})
    session = start_session(plan)
    assert session.finish() == 0, session.events
    return plan, session.result


@pytest.mark.parametrize("round_number", BAD_ROUNDS)
def test_a_round_goes_on_without_a_bad_update_and_says_why(degraded, round_number):
    _, result = degraded
    record = result["rounds"][round_number - 1]
    assert list(record["missing"]) == ["hospital_02"]
    assert BAD_ROUNDS[round_number][1] in record["missing"]["hospital_02"]


def test_every_round_is_the_mean_of_its_own_updates(degraded):
    plan, result = degraded
    assert_rounds_hold_their_own_updates(plan, result["rounds"])


def test_what_travelled_is_counted_and_nothing_of_it_is_left(degraded):
    plan, result = degraded
    for report in result["rounds"][0]["participants"].values():
        assert report["bytes_up"] > LARGE_BYTES
        assert report["bytes_down"] > LARGE_BYTES
    assert list(Path(plan.folder).rglob("*.safetensors")) == []
    assert not (Path(plan.folder) / "parked").exists()


def test_a_connection_that_is_cut_while_weights_travel_costs_at_most_that_round(
    tmp_path, write_plan, start_session, behave
):
    limits = {"quorum": 2, "rounds": 4, "round_timeout_seconds": 20}
    plan = write_plan(tmp_path, hospitals=3, shape=SHAPE, **limits)
    behave(plan, "hospital_01", {2: "slow"})
    session = start_session(plan, "3", module=CUT)
    session.until("cut")
    assert session.finish() == 0, session.events
    _, second, *_, last = session.result["rounds"]
    assert second["missing"].keys() <= {"hospital_01"}
    assert last["missing"] == {}
    assert_rounds_hold_their_own_updates(plan, session.result["rounds"])


def test_a_hospital_that_is_killed_while_it_sends_its_weights_is_missing_in_that_round(
    tmp_path, write_plan, start_session, behave
):
    plan = write_plan(tmp_path, hospitals=3, quorum=2, rounds=3, shape=(4000, SHAPE[1]))
    session = start_session(plan)
    session.until("round")
    parking = Path(plan.folder) / "parked"
    # Any file of a hospital's in the round after that: it is on its way.
    deadline = time.monotonic() + 30
    while not (begun := list(parking.glob("*.safetensors"))):
        assert time.monotonic() < deadline, session.events
        time.sleep(0.001)
    victim = begun[0].stem
    session.named(f"worker_process {victim}").kill()
    assert session.finish() == 0, session.events
    first, second, third = session.result["rounds"]
    assert first["missing"] == {}
    assert third["missing"].keys() == {victim}
    assert second["missing"].keys() <= {victim}
    assert_rounds_hold_their_own_updates(plan, session.result["rounds"])


@pytest.mark.parametrize(
    ("size", "what"),
    [
        # Of a file of weights no hospital can keep what it fetches.
        ("12m", "Weights that came in could not be written"),
        # One can, or both in turn, and then there is no room for an update.
        ("24m", "could not be written"),
    ],
)
def test_a_disk_that_is_full_where_weights_are_written_ends_the_run_and_says_so(
    small_disk, tmp_path, write_plan, start_session, size, what
):
    folder = small_disk(size) / "federation"
    plan = write_plan(tmp_path, shape=(1000, 4000), rounds=1, folder=str(folder))
    session = start_session(plan)
    assert session.finish() == 1
    assert isinstance(session.failure, StorageError | QuorumNotMet)
    assert what in str(session.failure)
    assert "No space left on device" in str(session.failure)
    assert list(folder.rglob("*.safetensors")) == []
