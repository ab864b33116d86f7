"""Real federations whose hospitals encrypt their updates, over loopback."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from fed_assets.errors import QuorumNotMet, RunConfigError
from fed_assets.federation.job import write_job
from fed_assets.federation.live import check_files
from fed_assets.federation.provision import provision
from fed_assets.federation.warm import provisioned_with
from fed_assets.federation.weights import write_weights
from fed_assets.hospital.shared_key import read_shared_key
from fed_assets.privacy.encrypted_sums import read_context
from fed_assets.privacy.encryption_terms import MOST_PARAMETERS
from fed_assets_tests.federation.test_masked_rounds import assert_rounds_are_means


def hospitals_that_decrypted(record, how="as others"):
    reports = record["participants"]
    return {name for name, report in reports.items() if report.get("decryption") == how}


@pytest.mark.slow
def test_the_server_gets_the_mean_of_encrypted_updates(
    tmp_path, write_encrypted_plan, start_session
):
    plan = write_encrypted_plan(tmp_path, shape=(64, 130))  # two ciphertexts and a bit
    session = start_session(plan)
    assert session.finish() == 0, session.events
    assert session.result["status"] == "complete"
    rounds = session.result["rounds"]
    assert [record["round_number"] for record in rounds] == [1, 2]
    assert_rounds_are_means(plan, rounds)
    for record in rounds:
        assert list(record["participants"]) == list(plan.hospitals)
        assert hospitals_that_decrypted(record) == set(plan.hospitals)
        for report in record["participants"].values():
            assert report["examples"] is None
            assert report["bytes_up"] > 8 * 64 * 130 * 4
            assert report["bytes_down"] > 9 * 64 * 130 * 4
            assert len(report["update_digest"]) == 64
    for name, store in plan.stores.items():
        lines = (Path(store) / "outbox.jsonl").read_text().splitlines()
        told = [(entry["kind"], entry["what"]) for entry in map(json.loads, lines)]
        one_round = [
            ("asked", "ckks_agree"),
            ("left", "its word for whose updates are added up"),
            ("asked", "ckks_decrypt"),
            ("left", "the sum of updates, decrypted"),
        ]
        assert told == one_round * 2, name
    assert list(Path(plan.folder).rglob("*.tenseal")) == []
    assert list(Path(plan.folder).rglob("*.key")) == []


BAD_ROUNDS = {
    1: ("fail", "EXECUTION_EXCEPTION: The images were never validated"),
    2: ("nan", "EXECUTION_EXCEPTION: An update cannot be hidden in a sum"),
    3: ("garbage", "update is refused: ciphertext 00000 is no ciphertext of this federation's"),
    4: ("cut off", "update is refused: ciphertext 00000 is no ciphertext of this federation's"),
    5: ("too many", "update is refused: it holds 2 arrays, and not 1 ciphertexts"),
    6: ("unmasked", "update is refused: it holds 2 arrays, and not 1 ciphertexts"),
    12: ("late", "it did not answer within 6 s in round 12"),
}
# Three of five decrypt in a round, in turn: hospital_03 does in these.
VOTES = {
    8: "raise at ckks_agree",
    7: "lie at ckks_decrypt",
    9: "raise at ckks_decrypt",
    10: "die at ckks_decrypt",
}


@pytest.fixture(scope="module")
def degraded(tmp_path_factory, write_encrypted_plan, start_session, behave):
    """Returns the plan and the result of twelve rounds, in most of which one of five is bad."""
    root = tmp_path_factory.mktemp("degraded")
    limits = {"hospitals": 5, "quorum": 2, "rounds": 12, "round_timeout_seconds": 6}
    plan = write_encrypted_plan(root, **limits)
    bad = {number: name for number, (name, _) in BAD_ROUNDS.items()}
    behave(plan, "hospital_02", bad)
    behave(plan, "hospital_03", VOTES)
    session = start_session(plan)
    assert session.finish() == 0, session.events
    return plan, session.result


@pytest.mark.long
@pytest.mark.parametrize("round_number", BAD_ROUNDS)
def test_a_round_goes_on_without_a_hospital_and_says_why(degraded, round_number):
    _, result = degraded
    record = result["rounds"][round_number - 1]
    assert [*record["missing"]] == ["hospital_02", *(["hospital_03"] if round_number > 10 else [])]
    assert BAD_ROUNDS[round_number][1] in record["missing"]["hospital_02"]


@pytest.mark.long
def test_every_round_is_the_mean_of_its_own_updates(degraded):
    plan, result = degraded
    assert_rounds_are_means(plan, result["rounds"])


@pytest.mark.long
def test_a_hospital_that_lies_about_the_sum_is_outvoted_and_found_out(degraded):
    record = degraded[1]["rounds"][6]
    assert record["missing"] == {}
    assert hospitals_that_decrypted(record, "unlike the others") == {"hospital_03"}
    assert len(hospitals_that_decrypted(record)) >= 2


@pytest.mark.long
@pytest.mark.parametrize("round_number", [8, 9, 10])
def test_who_is_lost_as_it_decrypts_has_taken_part(degraded, round_number):
    record = degraded[1]["rounds"][round_number - 1]
    assert record["missing"] == {}
    assert "hospital_03" in record["participants"]
    assert "hospital_03" not in hospitals_that_decrypted(record)
    assert len(hospitals_that_decrypted(record)) >= 2


@pytest.mark.long
def test_the_round_after_goes_on_without_the_one_that_died(degraded):
    record = degraded[1]["rounds"][10]
    assert "its job process ended" in record["missing"]["hospital_03"]


@pytest.mark.long
def test_an_update_of_another_key_fails_the_round_and_nobody_can_say_whose(
    tmp_path, write_encrypted_plan, start_session, behave
):
    plan = write_encrypted_plan(tmp_path, hospitals=4, quorum=2)
    behave(plan, "hospital_02", {2: "another key"})
    session = start_session(plan)
    assert session.finish() == 1
    assert isinstance(session.failure, QuorumNotMet)
    assert "The sum of round 2 cannot be had" in session.failure.what
    for name in plan.hospitals:
        assert f"{name}: its executor answered EXECUTION_EXCEPTION" in session.failure.seen
    assert "is not the sum of these hospitals' updates" in session.failure.seen
    assert sorted(path.name for path in Path(plan.outbox, "rounds").iterdir()) == ["0001"]


@pytest.mark.long
def test_a_round_with_too_few_updates_fails_with_who_was_lost_in_it(
    tmp_path, write_encrypted_plan, start_session, behave
):
    plan = write_encrypted_plan(tmp_path, quorum=1)
    for name in ("hospital_01", "hospital_03"):
        behave(plan, name, {2: "die"})
    session = start_session(plan)
    assert session.finish() == 1
    assert isinstance(session.failure, QuorumNotMet)
    assert "hospital_01: its job process ended (exit code 3)" in session.failure.seen
    assert "and the quorum is 2" in session.failure.what


@pytest.mark.long
def test_a_sum_for_which_too_few_give_their_word_is_not_had(
    tmp_path, write_encrypted_plan, start_session, behave
):
    plan = write_encrypted_plan(tmp_path, quorum=1, rounds=1)
    for name in ("hospital_01", "hospital_03"):
        behave(plan, name, {1: "die at ckks_agree"})
    session = start_session(plan)
    assert session.finish() == 1
    assert isinstance(session.failure, QuorumNotMet)
    assert "it takes the words of 2 hospitals" in session.failure.what
    assert "hospital_01: its job process ended (exit code 3)" in session.failure.seen


@pytest.mark.long
def test_two_hospitals_that_say_two_sums_are_not_believed(
    tmp_path, write_encrypted_plan, start_session, behave
):
    plan = write_encrypted_plan(tmp_path, quorum=2, rounds=1)
    behave(plan, "hospital_01", {1: "fail"})
    behave(plan, "hospital_02", {1: "lie at ckks_decrypt"})
    session = start_session(plan)
    assert session.finish() == 1
    assert "hospital_02: it says another sum than others" in session.failure.seen


@pytest.mark.parametrize(
    "changes",
    [
        {"hospitals": 2},
        {"transport": "clear"},
        {"aggregation": {"kind": "weighted_median"}},
        {"aggregation": {"kind": "multi_krum", "tolerated": 0}},
    ],
)
def test_a_plan_whose_sums_would_hide_nothing_is_refused(tmp_path, write_encrypted_plan, changes):
    with pytest.raises(RunConfigError, match="homomorphic encryption"):
        write_encrypted_plan(tmp_path, **changes)


def test_hospitals_get_one_key_and_the_server_what_adds_up(tmp_path, write_encrypted_plan):
    plan = write_encrypted_plan(tmp_path, hospitals=5, quorum=2)
    kits = provision(plan)
    keys = set()
    for name, workspace in kits.hospitals.items():
        file = workspace / "startup" / "client_context.tenseal"
        assert file.stat().st_mode & 0o777 == 0o600
        keys.add(file.read_bytes())
        record = json.loads((workspace / "local" / "hospital.json").read_text())
        said = record["homomorphic_encryption"]
        assert (said["hospitals"], said["threshold"]) == ([*plan.hospitals], 3)
        assert read_shared_key(workspace, name).threshold == 3
    assert len(keys) == 1
    assert not read_context(
        (kits.server / "startup" / "server_context.tenseal").read_bytes(), secret=False
    ).has_secret_key()
    elsewhere = [path for path in Path(plan.folder).rglob("*") if path.is_file()]
    holders = [path for path in elsewhere if path.read_bytes() in keys]
    assert {path.name for path in holders} == {"client_context.tenseal"}
    assert len(holders) == 5
    config = json.loads((write_job(plan) / "app/config/config_fed_client.json").read_text())
    assert config["executors"][0]["tasks"] == ["train", "ckks_agree", "ckks_decrypt"]


def test_each_federation_has_a_key_of_its_own_and_no_other_is_taken(tmp_path, write_encrypted_plan):
    one, other = (
        provision(write_encrypted_plan(tmp_path / name)).hospitals["hospital_01"]
        for name in ("one", "other")
    )
    old = (other / "startup" / "client_context.tenseal").read_bytes()
    (one / "startup" / "client_context.tenseal").write_bytes(old)
    with pytest.raises(RunConfigError, match="another federation's key"):
        read_shared_key(one, "hospital_01")


def test_a_federation_that_is_up_is_not_taken_where_more_hospitals_must_answer(
    tmp_path, write_encrypted_plan
):
    plan = write_encrypted_plan(tmp_path, hospitals=5, quorum=2)
    assert provisioned_with(plan) == provisioned_with(replace(plan, quorum=3))
    assert provisioned_with(plan) != provisioned_with(replace(plan, quorum=4))


def test_a_large_network_is_refused_before_anything_is_started(
    tmp_path, write_encrypted_plan, write_masked_plan
):
    plan = write_encrypted_plan(tmp_path / "encrypted")
    check_files(plan)
    weights = {"w": np.zeros(MOST_PARAMETERS, np.float32), "steps": np.zeros((), np.int64)}
    write_weights(Path(plan.initial_weights), weights)
    with pytest.raises(RunConfigError, match="too large for homomorphic encryption") as refused:
        check_files(plan)
    assert f"it has {MOST_PARAMETERS + 1:,} elements" in refused.value.what
    assert "would send 16 MB in place of 2 MB" in refused.value.seen
    assert "secure_aggregation" in refused.value.cure
    masked = write_masked_plan(tmp_path / "masked")
    write_weights(Path(masked.initial_weights), weights)
    check_files(masked)
