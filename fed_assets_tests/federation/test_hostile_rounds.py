"""Rounds with hostile hospitals, and with an optimizer at the server, in real federations."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest

from fed_assets.errors import QuorumNotMet
from fed_assets.federation.aggregation import Update
from fed_assets.federation.plan import FederationPlan
from fed_assets.federation.resume import find_earlier, go_on, keep_plan
from fed_assets.federation.rules import aggregate
from fed_assets.federation.weights import read_weights
from fed_assets.privacy.digests import weights_digest
from fed_assets.sandboxes.controls import Aggregation
from fed_assets.sandboxes.protection import Rule
from fed_assets_tests.federation.tiny_executor import learn

pytestmark = pytest.mark.long

WEIGHT = "canary_layer.weight"


def test_an_update_above_the_promised_norm_is_refused_by_its_hospitals_name(
    tmp_path, write_plan, start_session, behave
):
    # The others' noise has a norm of about 11.
    bound = {"kind": "clip", "max_norm": 50.0, "max_statistics_norm": 50.0}
    plan = write_plan(tmp_path, hospitals=3, quorum=2, update_protection=bound)
    behave(plan, "hospital_02", {2: "far"})
    session = start_session(plan)
    assert session.finish() == 0, session.events
    one, two = session.result["rounds"]
    assert one["missing"] == {}
    assert two["missing"] == {
        "hospital_02": "its update is refused: its L2 norm is above max_norm=50"
    }
    assert session.result["status"] == "degraded"


def test_below_the_quorum_of_updates_within_the_norm_the_run_fails(
    tmp_path, write_plan, start_session
):
    bound = {"kind": "clip", "max_norm": 1.0, "max_statistics_norm": 1.0}
    plan = write_plan(tmp_path, update_protection=bound)
    session = start_session(plan)
    assert session.finish() == 1
    assert isinstance(session.failure, QuorumNotMet)
    assert "hospital_01: its update is refused: its L2 norm is above" in session.failure.seen


def last_step(plan):
    """Returns how far the last round moved the weights at most, in any coordinate."""
    folder = Path(plan.outbox, "rounds")
    before, after = (
        read_weights(folder / each / "global.safetensors") for each in ("0001", "0002")
    )
    return float(np.abs(after[WEIGHT] - before[WEIGHT]).max())


@pytest.mark.parametrize(
    ("rule", "holds"), [(Rule(), False), (Rule(kind=Aggregation.TRIMMED_MEAN, tolerated=1), True)]
)
def test_the_plans_rule_decides_what_a_hostile_hospital_can_do(
    tmp_path, write_plan, start_session, behave, rule, holds
):
    plan = write_plan(tmp_path, hospitals=3, aggregation=rule.as_record())
    behave(plan, "hospital_01", {2: "far"})
    session = start_session(plan)
    assert session.finish() == 0, session.events
    assert (last_step(plan) < 10) == holds


def test_a_run_with_a_servers_optimizer_goes_on_bit_for_bit(
    tmp_path, write_plan, start_session, behave
):
    rule = Rule.by_default(Aggregation.FEDOPT)
    whole = write_plan(tmp_path / "whole", rounds=3, aggregation=rule.as_record())
    session = start_session(whole)
    assert session.finish() == 0, session.events
    cut = write_plan(tmp_path / "cut", rounds=3, aggregation=rule.as_record())
    keep_plan(cut)
    behave(cut, "hospital_02", {3: "fail"})
    assert start_session(cut).finish() == 1
    behave(cut, "hospital_02", {})
    again = FederationPlan.from_json(
        {
            **asdict(cut),
            "folder": str(tmp_path / "again" / "federation"),
            "outbox": str(tmp_path / "again" / "outbox"),
        }
    )
    (tmp_path / "again").mkdir()
    earlier = find_earlier(again, [("cut", Path(cut.folder))], print)
    resumed = start_session(go_on(again, earlier))
    assert resumed.finish() == 0, resumed.events
    assert earlier.last_round == 2
    assert resumed.result["final_digest"] == session.result["final_digest"]
    assert from_a_fresh_state(cut, rule) != session.result["final_digest"]


def from_a_fresh_state(plan, rule):
    """Returns the digest that the third round would come to from a fresh state: the control."""
    received = read_weights(Path(plan.outbox, "rounds", "0002", "global.safetensors"))
    updates = [
        Update(hospital=name, examples=len(name), weights=learn(received, name, 3, 7), report={})
        for name in plan.hospitals
    ]
    return weights_digest(aggregate(rule, updates, received, {})[0])
