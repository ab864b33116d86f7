"""Real federations whose hospitals mask their updates: server, clients and jobs over loopback."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from fed_assets.errors import QuorumNotMet, RunConfigError
from fed_assets.federation.aggregation import Update, fedavg
from fed_assets.federation.job import write_job
from fed_assets.federation.provision import provision
from fed_assets.federation.warm import provisioned_with
from fed_assets.federation.weights import LARGE_BYTES, read_weights
from fed_assets_tests.federation.masking_executor import examples_of
from fed_assets_tests.federation.tiny_executor import learn


def assert_rounds_are_means(plan, rounds):
    """Holds each round's weights against the plain mean of what its participants learned."""
    file = Path(plan.initial_weights)
    for record in rounds:
        received = read_weights(file)
        number = record["round_number"]
        updates = [
            Update(
                hospital=name,
                examples=examples_of(name),
                weights=learn(received, name, number, plan.seed),
                report={},
            )
            for name in record["participants"]
        ]
        file = Path(plan.outbox, "rounds", f"{number:04d}", "global.safetensors")
        plain, mean = fedavg(updates), read_weights(file)
        for name, array in plain.items():
            # A mean of counters that lies halfway between two is rounded to either of them.
            most = 1e-5 if array.dtype == np.float32 else 1.0
            assert np.abs(mean[name].astype(float) - array).max() <= most
            assert mean[name].dtype == array.dtype


@pytest.mark.slow
def test_the_server_gets_the_mean_of_masked_updates(tmp_path, write_masked_plan, start_session):
    plan = write_masked_plan(tmp_path)
    session = start_session(plan)
    assert session.finish() == 0, session.events
    assert session.result["status"] == "complete"
    rounds = session.result["rounds"]
    assert [record["round_number"] for record in rounds] == [1, 2]
    assert_rounds_are_means(plan, rounds)
    for record in rounds:
        assert list(record["participants"]) == list(plan.hospitals)
        for report in record["participants"].values():
            assert report["examples"] is None
            assert report["bytes_up"] > 8 * 16 * 4
            assert len(report["update_digest"]) == 64
    for name, store in plan.stores.items():
        lines = (Path(store) / "outbox.jsonl").read_text().splitlines()
        told = [(entry["kind"], entry["what"]) for entry in map(json.loads, lines)]
        one_round = [
            ("asked", "secagg_keys"),
            ("left", "keys of secure aggregation"),
            ("asked", "secagg_shares"),
            ("left", "sealed shares of its secrets"),
            ("asked", "secagg_unmask"),
            ("left", "shares of secrets of its peers"),
        ]
        assert told == one_round * 2, name


BAD_ROUNDS = {
    1: ("fail", "EXECUTION_EXCEPTION: The images were never validated"),
    2: ("nan", "EXECUTION_EXCEPTION: An update cannot be hidden in a sum"),
    3: ("raise at secagg_keys", "EXECUTION_EXCEPTION"),
    4: ("raise at secagg_shares", "EXECUTION_EXCEPTION"),
    5: ("late", "it did not answer within 6 s in round 5"),
    6: ("late at secagg_shares", "it did not answer within 6 s in round 6"),
    7: ("unmasked", "names are missing"),
    8: ("raise at secagg_unmask", ""),
}


@pytest.fixture(scope="module")
def degraded(tmp_path_factory, write_masked_plan, start_session, behave):
    """Returns the plan and the result of nine rounds, in most of which one of four is bad."""
    root = tmp_path_factory.mktemp("degraded")
    limits = {"hospitals": 4, "quorum": 2, "rounds": 9, "round_timeout_seconds": 6}
    plan = write_masked_plan(root, **limits)
    behave(plan, "hospital_02", {number: name for number, (name, _) in BAD_ROUNDS.items()})
    session = start_session(plan)
    assert session.finish() == 0, session.events
    return plan, session.result


@pytest.mark.long
@pytest.mark.parametrize("round_number", [number for number, (_, why) in BAD_ROUNDS.items() if why])
def test_a_round_goes_on_without_a_hospital_and_says_why(degraded, round_number):
    _, result = degraded
    record = result["rounds"][round_number - 1]
    assert list(record["missing"]) == ["hospital_02"]
    assert BAD_ROUNDS[round_number][1] in record["missing"]["hospital_02"]


@pytest.mark.long
def test_every_round_is_the_mean_of_its_own_updates(degraded):
    plan, result = degraded
    assert_rounds_are_means(plan, result["rounds"])


@pytest.mark.long
@pytest.mark.parametrize("round_number", [8, 9])
def test_who_is_lost_after_its_update_came_in_has_taken_part(degraded, round_number):
    record = degraded[1]["rounds"][round_number - 1]
    assert record["missing"] == {}


@pytest.mark.long
@pytest.mark.parametrize("phase", ["secagg_shares", "train", "secagg_unmask"])
def test_a_job_process_that_dies_in_any_phase_costs_no_round(
    tmp_path, write_masked_plan, start_session, behave, phase
):
    plan = write_masked_plan(tmp_path, quorum=2, rounds=3)
    behave(plan, "hospital_03", {2: "die" if phase == "train" else f"die at {phase}"})
    session = start_session(plan)
    assert session.finish() == 0, session.events
    _, second, third = session.result["rounds"]
    assert ("hospital_03" in second["participants"]) == (phase == "secagg_unmask")
    assert "its job process ended" in third["missing"]["hospital_03"]
    assert_rounds_are_means(plan, session.result["rounds"])


@pytest.mark.long
@pytest.mark.parametrize("phase", ["secagg_keys", "secagg_shares", "train", "secagg_unmask"])
def test_a_round_that_cannot_be_recovered_fails_with_who_was_lost_in_it(
    tmp_path, write_masked_plan, start_session, behave, phase
):
    plan = write_masked_plan(tmp_path, quorum=1)
    for name in ("hospital_01", "hospital_03"):
        behave(plan, name, {2: "die" if phase == "train" else f"die at {phase}"})
    session = start_session(plan)
    assert session.finish() == 1
    assert isinstance(session.failure, QuorumNotMet)
    assert "hospital_01: its job process ended (exit code 3)" in session.failure.seen
    told = "cannot be unmasked" if phase == "secagg_unmask" else "and the quorum is 2"
    assert told in session.failure.what
    assert sorted(path.name for path in Path(plan.outbox, "rounds").iterdir()) == ["0001"]


@pytest.mark.long
def test_large_updates_travel_masked_as_files(tmp_path, write_masked_plan, start_session, behave):
    shape = (1000, LARGE_BYTES // 4000 + 1)
    wide = {"max_norm": 1000.0, "max_statistics_norm": 1000.0}
    plan = write_masked_plan(
        tmp_path, quorum=2, rounds=2, shape=shape,
        update_protection={"kind": "secure_aggregation", **wide},
    )  # fmt: skip
    behave(plan, "hospital_02", {2: "fail"})
    session = start_session(plan)
    assert session.finish() == 0, session.events
    first, second = session.result["rounds"]
    assert first["missing"] == {}
    assert second["missing"].keys() == {"hospital_02"}
    assert_rounds_are_means(plan, session.result["rounds"])
    assert list(Path(plan.folder).rglob("*.safetensors")) == []


@pytest.mark.parametrize(
    "changes",
    [
        {"hospitals": 2},
        {"transport": "clear"},
        {"aggregation": {"kind": "weighted_median"}},
        {"aggregation": {"kind": "trimmed_mean", "tolerated": 1}},
    ],
)
def test_a_plan_whose_masks_would_hide_nothing_is_refused(tmp_path, write_masked_plan, changes):
    with pytest.raises(RunConfigError, match="secure aggregation"):
        write_masked_plan(tmp_path, **changes)


def test_a_site_says_among_whom_it_is_added_up_and_no_other_does(
    tmp_path, write_masked_plan, write_plan
):
    plan = write_masked_plan(tmp_path / "masked", hospitals=5, quorum=2)
    kits = provision(plan)
    for workspace in kits.hospitals.values():
        record = json.loads((workspace / "local" / "hospital.json").read_text())
        assert record["secure_aggregation"] == {"hospitals": [*plan.hospitals], "threshold": 3}
    config = json.loads((write_job(plan) / "app/config/config_fed_client.json").read_text())
    tasks = ["train", "secagg_keys", "secagg_shares", "secagg_unmask"]
    assert config["executors"][0]["tasks"] == tasks
    plain = write_plan(tmp_path / "plain", hospitals=5)
    record = json.loads(
        (provision(plain).hospitals["hospital_01"] / "local" / "hospital.json").read_text()
    )
    assert "secure_aggregation" not in record
    config = json.loads((write_job(plain) / "app/config/config_fed_client.json").read_text())
    assert config["executors"][0]["tasks"] == ["train"]


def test_a_federation_that_is_up_is_not_taken_where_more_hospitals_must_answer(
    tmp_path, write_masked_plan, write_plan
):
    plan = write_masked_plan(tmp_path / "masked", hospitals=5, quorum=2)
    assert provisioned_with(plan) == provisioned_with(replace(plan, quorum=3))
    assert provisioned_with(plan) != provisioned_with(replace(plan, quorum=4))
    plain = write_plan(tmp_path / "plain", hospitals=5)
    assert provisioned_with(plain) == provisioned_with(replace(plain, quorum=4))
