from __future__ import annotations

import pytest

from fed_assets.errors import UnenforcedControl
from fed_assets.sandboxes.enforcement import (
    ENFORCED,
    require_enforced,
    shown,
    unenforced_controls,
)
from fed_assets.sandboxes.presets import MINIMAL, PRESETS, find_sandbox
from fed_assets.sandboxes.sandbox import Sandbox, allowed_values

VALUES = {control: allowed_values(control).split(", ") for control in MINIMAL.controls()}
NOT_YET = [
    (control, value)
    for control, values in VALUES.items()
    for value in values
    if value not in ENFORCED[control]
]


def declaring(**controls: str) -> Sandbox:
    """Returns a sandbox unchecked for what cannot hold together: this is about enforcement."""
    typed = {name: Sandbox.model_fields[name].annotation(value) for name, value in controls.items()}
    return MINIMAL.model_copy(update={"name": "configurable", **typed})


def test_exactly_these_values_are_not_enforced_yet() -> None:
    assert {f"{control}={value}" for control, value in NOT_YET} == {
        "update_protection=differential_privacy",
        "update_protection=secure_aggregation",
    }


def test_every_control_is_ruled_on_and_nothing_else() -> None:
    assert list(ENFORCED) == list(MINIMAL.controls())
    for control, enforced in ENFORCED.items():
        assert enforced <= set(VALUES[control])


@pytest.mark.parametrize(("control", "value"), NOT_YET)
def test_a_value_that_is_not_enforced_refuses_the_run_in_one_line(control: str, value: str) -> None:
    sandbox = declaring(**{control: value})
    assert sandbox.value(control) == value
    with pytest.raises(UnenforcedControl) as caught:
        require_enforced(sandbox)
    message = str(caught.value)
    assert message.startswith(f"Sandbox configurable is refused: it declares {control}={value},")
    assert "\n" not in message


@pytest.mark.parametrize("name", ["minimal", "eyes_on", "eyes_off"])
def test_these_can_run(name: str) -> None:
    assert require_enforced(PRESETS[name]) is PRESETS[name]


@pytest.mark.parametrize("name", ["confidential_vm", "configurable"])
def test_the_others_are_refused_with_everything_that_is_missing(name: str) -> None:
    sandbox = find_sandbox(name)
    with pytest.raises(UnenforcedControl) as caught:
        require_enforced(sandbox)
    missing = unenforced_controls(sandbox)
    assert "storage" not in missing
    assert "process" not in missing
    for control, value in missing.items():
        assert f"{control}={value}" in str(caught.value)


def test_what_is_simulated_says_so_and_nothing_else_does() -> None:
    said = [shown(declaring(**{name: each}), name) for name in VALUES for each in VALUES[name]]
    assert [each for each in said if "SIMULATED" in each] == ["attested (SIMULATED)"]
    for name, value in MINIMAL.controls().items():
        assert shown(MINIMAL, name) == value
