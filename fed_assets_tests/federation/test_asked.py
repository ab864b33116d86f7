from __future__ import annotations

import json
from typing import Any

import pytest

from fed_assets.errors import IncompatibleControls
from fed_assets.federation.asked import PARTS, asked, otherwise
from fed_assets.federation.averaging import Averaging
from fed_assets.federation.learning import Recipe
from fed_assets.federation.roster import Roster, read_roster
from fed_assets.resources.settings import SHIPPED_ROSTER
from fed_assets.sandboxes.presets import CONFIDENTIAL_VM, EYES_OFF, MINIMAL, find_sandbox
from fed_assets.sandboxes.sandbox import Sandbox

ROSTER = read_roster(SHIPPED_ROSTER)


def run_of(roster: Roster, sandbox: Sandbox) -> dict[str, Any]:
    """Returns of a run's measurement what it was trained with, as it is read from its file."""
    wanted = asked(roster, sandbox)
    values = wanted["controls"]["values"]
    record = {
        "rounds": roster.rounds,
        "model": {"network": wanted["network"]},
        "reference_learning": {"threshold": roster.threshold},
        "trained_with": {"recipe": wanted["recipe"], "numbers": wanted["controls"]["numbers"]},
        "controls": {name: {"declared": value} for name, value in values.items()},
    }
    stored: dict[str, Any] = json.loads(json.dumps(record))
    return stored


@pytest.mark.parametrize(
    "sandbox", [MINIMAL, EYES_OFF, CONFIDENTIAL_VM, find_sandbox("configurable")]
)
def test_a_run_as_is_asked_for_is_no_other(sandbox: Sandbox) -> None:
    assert otherwise(run_of(ROSTER, sandbox), asked(ROSTER, sandbox)) == []


def test_another_number_of_rounds_is_told_with_both() -> None:
    changed = ROSTER.model_copy(update={"rounds": 3})
    found = otherwise(run_of(changed, MINIMAL), asked(ROSTER, MINIMAL))
    assert found == [{"part": "rounds", "measured": 3, "asked": 15}]


@pytest.mark.parametrize(
    "change, part",
    [
        ({"network": {"_target_": "monai.networks.nets.DenseNet121"}}, "network"),
        ({"recipe": Recipe(learning_rate=0.01)}, "recipe"),
        ({"threshold": 0.3}, "threshold"),
    ],
)
def test_another_network_recipe_or_threshold_is_told(change: dict[str, Any], part: str) -> None:
    found = otherwise(run_of(ROSTER.model_copy(update=change), EYES_OFF), asked(ROSTER, EYES_OFF))
    assert [each["part"] for each in found] == [part]


def test_other_data_are_told_where_both_are_known() -> None:
    of_today, of_yesterday = asked(ROSTER, MINIMAL, "d1" * 32), run_of(ROSTER, MINIMAL)
    of_yesterday["trained_with"]["data"] = "d2" * 32
    assert otherwise(of_yesterday, of_today) == [{"part": "data"}]
    assert otherwise(of_yesterday, asked(ROSTER, MINIMAL, "d2" * 32)) == []
    assert otherwise(of_yesterday, asked(ROSTER, MINIMAL)) == []  # the source is not here
    assert otherwise(run_of(ROSTER, MINIMAL), of_today) == []  # it recorded none


def test_what_averaging_adds_to_the_recipe_is_told() -> None:
    refined = ROSTER.model_copy(update={"aggregation": Averaging(rule="fedprox")})
    found = otherwise(run_of(refined, MINIMAL), asked(ROSTER, MINIMAL))
    assert [each["part"] for each in found] == ["recipe", "controls"]


def test_other_controls_are_told_and_their_numbers_too() -> None:
    other = EYES_OFF.model_copy(update={"previews": True})
    assert otherwise(run_of(ROSTER, other), asked(ROSTER, EYES_OFF)) == [{"part": "controls"}]
    wider = EYES_OFF.model_copy(update={"max_norm": 99.0})
    assert otherwise(run_of(ROSTER, wider), asked(ROSTER, EYES_OFF)) == [{"part": "controls"}]


def test_what_a_run_did_not_record_is_not_held_against_it() -> None:
    assert otherwise({"rounds": 15}, asked(ROSTER, MINIMAL)) == []
    record = run_of(ROSTER, MINIMAL)
    del record["trained_with"]
    assert otherwise(record, asked(ROSTER, MINIMAL)) == []
    assert set(asked(ROSTER, MINIMAL)) == set(PARTS)


def test_a_rule_that_the_sandbox_does_not_promise_is_refused() -> None:
    refined = ROSTER.model_copy(update={"aggregation": Averaging(rule="fedprox")})
    with pytest.raises(IncompatibleControls):
        asked(refined, EYES_OFF.model_copy(update={"aggregation": "trimmed_mean"}))
