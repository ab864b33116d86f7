"""What is done to updates, and how they meet, as it travels to hospitals and server."""

import json

import pytest

from fed_assets.errors import RunConfigError
from fed_assets.sandboxes.controls import Aggregation, UpdateProtection
from fed_assets.sandboxes.protection import SUM_ALONE, Optimizer, Protection, Rule

CLIP = Protection(kind=UpdateProtection.CLIP, max_norm=2.0, max_statistics_norm=3.0)
BOUNDS = {"max_norm": 2.0, "max_statistics_norm": 3.0}
KRUM = Rule(kind=Aggregation.MULTI_KRUM, tolerated=2)


def test_both_come_back_from_json_as_they_were():
    assert Protection.of(json.loads(json.dumps(CLIP.as_record()))) == CLIP
    assert Rule.of(json.loads(json.dumps(KRUM.as_record()))) == KRUM
    assert CLIP.as_record() == {"kind": "clip", **BOUNDS}


@pytest.mark.parametrize(
    "record",
    [
        None,
        {},
        {"kind": "magic"},
        {"kind": "clip"},
        {"kind": "none", "max_norm": 2.0},
        {"kind": "clip", "max_norm": 2.0},
        {"kind": "clip", **BOUNDS, "epsilon": 8.0},
        {"kind": "clip", **BOUNDS, "unknown": 1},
    ],
)
def test_a_protection_that_nobody_can_carry_out_is_refused(record):
    with pytest.raises(RunConfigError, match="update_protection cannot be carried out"):
        Protection.of(record)


@pytest.mark.parametrize(
    "record",
    [
        {"kind": "magic"},
        {"kind": "multi_krum"},
        {"kind": "fedavg", "tolerated": 1},
        {"kind": "fedprox"},
        {"kind": "fedprox", "proximal_mu": 0.1, "tolerated": 1},
        {"kind": "fedopt"},
        {"kind": "fedopt", "optimizer": "sgd"},
        {"kind": "fedopt", "optimizer": "adam", "learning_rate": 0.1},
        {"kind": "fedopt", "optimizer": "momentum", "learning_rate": 1, "beta_1": 0, "tau": 1},
    ],
)
def test_a_rule_that_nobody_can_carry_out_is_refused(record):
    with pytest.raises(RunConfigError, match="aggregation cannot be carried out"):
        Rule.of(record)


@pytest.mark.parametrize("optimizer", Optimizer)
def test_a_servers_optimizer_travels_with_all_its_numbers(optimizer):
    rule = Rule.by_default(Aggregation.FEDOPT, optimizer=optimizer)
    assert Rule.of(json.loads(json.dumps(rule.as_record()))) == rule


def test_what_is_clipped_has_bounds_and_only_fedprox_tells_hospitals_something():
    hidden = [Protection(kind=kind, **BOUNDS) for kind in SUM_ALONE]
    assert all(each.bounds == BOUNDS for each in (CLIP, *hidden))
    assert Protection().bounds == {}
    assert Rule.by_default(Aggregation.FEDPROX).told_hospitals == {"proximal_mu": 0.01}
    assert KRUM.told_hospitals == Rule.by_default(Aggregation.FEDOPT).told_hospitals == {}
