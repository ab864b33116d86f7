"""Real federations of three hospitals: server, clients and job processes over loopback."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest

from fed_assets.errors import StorageError
from fed_assets.federation.aggregation import Update, fedavg
from fed_assets.federation.history import read_history
from fed_assets.federation.outbox import copy_round
from fed_assets.federation.results import result_from_record
from fed_assets.federation.weights import read_weights
from fed_assets.privacy.digests import weights_digest
from fed_assets_tests.federation.tiny_executor import learn

pytestmark = pytest.mark.slow

OBSERVED = "fed_assets_tests.federation.observed_session"


def run_observed(plan, start_session):
    observed = Path(plan.folder).parent / "observed.json"
    session = start_session(plan, str(observed), module=OBSERVED)
    assert session.finish() == 0, session.events
    return session, json.loads(observed.read_text())


@pytest.fixture(scope="module")
def secured(tmp_path_factory, write_plan, start_session):
    plan = write_plan(tmp_path_factory.mktemp("secured"), hospitals=3)
    return plan, *run_observed(plan, start_session)


@pytest.fixture(scope="module")
def clear(tmp_path_factory, write_plan, start_session):
    root = tmp_path_factory.mktemp("clear")
    plan = write_plan(root, hospitals=3, sandbox="minimal", transport="clear")
    return plan, *run_observed(plan, start_session)


def expected_weights(plan, rounds):
    weights = read_weights(Path(plan.initial_weights))
    for round_number in range(1, rounds + 1):
        weights = fedavg(
            [
                Update(
                    hospital=name,
                    examples=len(name),
                    weights=learn(weights, name, round_number, plan.seed),
                    report={},
                )
                for name in plan.hospitals
            ]
        )
    return weights


def test_three_hospitals_and_two_rounds_give_the_weights_that_the_formula_gives(secured):
    plan, session, _ = secured
    result = result_from_record(session.result)
    weights = read_weights(Path(result.final_weights))
    assert result.status == "complete"
    assert result.final_digest == weights_digest(weights)
    assert result.final_digest == weights_digest(expected_weights(plan, 2))
    assert [record["round_number"] for record in result.rounds] == [1, 2]
    assert weights["canary_layer.steps"].dtype == np.int64


def test_every_round_names_what_each_hospital_did(secured):
    plan, session, _ = secured
    for record in session.result["rounds"]:
        assert list(record["participants"]) == list(plan.hospitals)
        assert record["missing"] == {}
        for name, report in record["participants"].items():
            assert report["loss"] == 1.0 / record["round_number"]
            assert (report["auroc"], report["accuracy"]) == (0.5, 0.25)
            assert report["examples"] == len(name)
            assert report["bytes_up"] > 8 * 16 * 4
            assert report["bytes_down"] > 8 * 16 * 4
            assert len(report["update_digest"]) == len(report["dataset_digest"]) == 64


def test_events_tell_of_each_step_in_order_and_commands_are_recorded(secured):
    plan, session, _ = secured
    names = [event["event"] for event in session.events]
    assert names == ["provisioned", "started", "submitted", "round", "round", "finished"]
    commands = {command["command"]: command for command in session.result["commands"]}
    assert {"login", "check_status server", "submit_job"} <= commands.keys()
    assert commands["submit_job"]["answer"] == session.events[2]["job_id"]
    written = read_history(Path(plan.folder) / "commands.jsonl")
    assert [asdict(command) for command in written[:-1]] == session.result["commands"]
    assert written[-1].command == "logout"


def test_no_private_key_is_left_of_a_federation_that_has_ended(secured):
    folder = Path(secured[0].folder)
    assert list(folder.glob("sites/*/startup/*.crt"))
    assert list(folder.rglob("*.key")) == []


def test_the_same_seeds_give_the_same_bits_over_either_transport(secured, clear):
    assert secured[1].result["final_digest"] == clear[1].result["final_digest"]


def test_mtls_hides_what_is_readable_in_the_clear(secured, clear):
    readable, hidden = clear[2]["heard"], secured[2]["heard"]
    assert min(readable.values()) > 0, "the relay must see content where nothing hides it"
    assert secured[2]["bytes_heard"] > 10_000
    assert set(hidden.values()) == {0}


def test_every_process_listens_on_loopback_alone(secured, clear):
    for _, _, observed in (secured, clear):
        assert observed["processes"] == 13
        assert observed["listening"] == ["127.0.0.1"]


def test_processes_inherit_nothing_of_the_session_environment(secured):
    _, _, observed = secured
    assert all("A_SECRET" not in environment for environment in observed["environments"])
    assert all("orchestrator-only" not in str(command) for command in observed["commands"])


def test_nothing_is_left_in_the_temporary_folders(secured):
    plan, session, _ = secured
    assert list(session.temporary.iterdir()) == []
    assert list(Path(plan.folder, "tmp").iterdir()) == []


def test_everything_lies_in_the_plans_folder_readable_by_this_user_alone(secured):
    plan, _, _ = secured
    assert Path(plan.folder).stat().st_mode & 0o077 == 0
    sites = Path(plan.folder, "sites")
    open_to_others = [path for path in sites.rglob("*") if path.stat().st_mode & 0o077]
    assert open_to_others == []
    assert list((sites / "localhost" / "jobs").iterdir()) != []


def test_a_run_that_starts_at_round_two_ends_with_the_same_bits(
    secured, tmp_path, write_plan, start_session
):
    whole, session, _ = secured
    first = Path(whole.outbox, "rounds", "0001", "global.safetensors")
    plan = write_plan(tmp_path, hospitals=3, start_round=2, initial_weights=str(first))
    copy_round(Path(whole.outbox), Path(plan.outbox), 1)
    second = start_session(plan)
    assert second.finish() == 0
    assert second.result["final_digest"] == session.result["final_digest"]
    assert [record["round_number"] for record in second.result["rounds"]] == [1, 2]
    assert second.result["seconds"] > session.result["rounds"][0]["seconds"]


def test_an_outbox_that_holds_a_round_of_the_plan_is_refused(
    secured, tmp_path, write_plan, start_session
):
    plan = write_plan(tmp_path, hospitals=3, outbox=secured[0].outbox)
    session = start_session(plan)
    assert session.finish() == 1
    assert isinstance(session.failure, StorageError)
    assert "already holds round 1" in session.failure.what
    assert not Path(plan.folder).exists()
