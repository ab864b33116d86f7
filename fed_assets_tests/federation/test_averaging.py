"""Rosters that refine how a sandbox aggregates, and those that may not."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from fed_assets.errors import IncompatibleControls, RosterError
from fed_assets.federation.averaging import Averaging, rule_of
from fed_assets.federation.roster import read_roster
from fed_assets.sandboxes.controls import Aggregation
from fed_assets.sandboxes.presets import MINIMAL
from fed_assets.sandboxes.protection import Optimizer, Rule
from fed_assets.sandboxes.sandbox import Sandbox
from fed_assets_tests.federation.test_roster import top, write

FEDPROX = Averaging(rule="fedprox", proximal_mu=0.1)
FEDOPT = Averaging(rule="fedopt", optimizer=Optimizer.YOGI, learning_rate=0.02)


def sandbox(aggregation: str) -> Sandbox:
    return MINIMAL.model_copy(update={"aggregation": Aggregation(aggregation)})


def test_a_roster_that_says_nothing_leaves_the_sandboxs_rule() -> None:
    for kind in Aggregation:
        assert rule_of(sandbox(kind), None) == sandbox(kind).rule


def test_a_roster_refines_fedavg() -> None:
    assert rule_of(MINIMAL, FEDPROX) == Rule(kind=Aggregation.FEDPROX, proximal_mu=0.1)
    assert rule_of(MINIMAL, FEDOPT).as_record() == {
        "kind": "fedopt",
        "optimizer": "yogi",
        "learning_rate": 0.02,
        "beta_1": 0.9,
        "beta_2": 0.99,
        "tau": 1e-3,
    }
    assert rule_of(MINIMAL, Averaging(rule="fedavg")) == Rule()


def test_a_roster_gives_the_numbers_of_a_rule_that_the_sandbox_names() -> None:
    assert rule_of(sandbox("fedprox"), FEDPROX).proximal_mu == 0.1
    assert sandbox("fedprox").rule.proximal_mu == 0.01
    assert rule_of(sandbox("fedopt"), FEDOPT).optimizer is Optimizer.YOGI
    assert sandbox("fedopt").rule.optimizer is Optimizer.ADAM


@pytest.mark.parametrize(
    ("declared", "asked"),
    [
        ("trimmed_mean", FEDOPT),
        ("multi_krum", Averaging(rule="fedavg")),
        ("weighted_median", FEDPROX),
        ("fedprox", FEDOPT),
        ("fedopt", Averaging(rule="fedavg")),
    ],
)
def test_a_roster_cannot_take_back_what_a_sandbox_promises(declared: str, asked: Averaging) -> None:
    with pytest.raises(IncompatibleControls) as caught:
        rule_of(sandbox(declared), asked)
    message = str(caught.value)
    assert f"declares aggregation={declared}, and the roster asks for {asked.rule}" in message
    assert "Remove the roster's `aggregation`" in message


@pytest.mark.parametrize("optimizer", Optimizer)
def test_every_optimizer_comes_back_from_json(optimizer: Optimizer) -> None:
    rule = Averaging(rule="fedopt", optimizer=optimizer).as_rule
    assert Rule.of(yaml.safe_load(yaml.safe_dump(rule.as_record()))) == rule


def test_it_is_read_from_the_roster(tmp_path: Path) -> None:
    asked = {"rule": "fedopt", "optimizer": "momentum", "beta_1": 0.3}
    roster = read_roster(write(tmp_path, top(aggregation=asked)))
    assert roster.aggregation is not None
    assert roster.aggregation.as_rule.beta_1 == 0.3
    assert read_roster(write(tmp_path)).aggregation is None


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"rule": "trimmed_mean"}, "aggregation.rule"),
        ({"rule": "fedprox", "proximal_mu": 0}, "greater than 0"),
        ({"rule": "fedprox", "learning_rate": 0.1}, "learning_rate does not go with rule fedprox"),
        ({"rule": "fedavg", "proximal_mu": 0.1}, "proximal_mu does not go with rule fedavg"),
        ({"rule": "fedavg", "optimizer": "adam"}, "optimizer does not go with rule fedavg"),
        ({"rule": "fedopt", "optimizer": "sgd"}, "aggregation.optimizer"),
        (
            {"rule": "fedopt", "optimizer": "momentum", "tau": 0.1},
            "tau does not go with rule fedopt with momentum",
        ),
        (
            {"rule": "fedopt", "optimizer": "adagrad", "beta_2": 0.1},
            "beta_2 does not go with rule fedopt with adagrad",
        ),
        ({"rule": "fedopt", "learning_rat": 0.1}, "Did you mean `learning_rate`?"),
    ],
)
def test_what_does_not_go_together_in_the_roster_is_refused(
    tmp_path: Path, asked: dict[str, object], said: str
) -> None:
    with pytest.raises(RosterError) as caught:
        read_roster(write(tmp_path, top(aggregation=asked)))
    assert said in str(caught.value)
