from __future__ import annotations

import pytest

from fed_assets.errors import UnenforcedControl
from fed_assets.sandboxes.controls import Aggregation
from fed_assets.sandboxes.enforcement import (
    ENFORCED,
    numbers_of,
    require_enforced,
    shown,
    unenforced_controls,
)
from fed_assets.sandboxes.presets import MINIMAL, SANDBOX_NAMES, find_sandbox
from fed_assets.sandboxes.protection import Rule
from fed_assets.sandboxes.sandbox import Sandbox, allowed_values

VALUES = {control: allowed_values(control).split(", ") for control in MINIMAL.controls()}


def declaring(**controls: str) -> Sandbox:
    """Returns a sandbox unchecked for what cannot hold together: this is about enforcement."""
    typed = {name: Sandbox.model_fields[name].annotation(value) for name, value in controls.items()}
    return MINIMAL.model_copy(update={"name": "configurable", **typed})


def test_every_control_is_ruled_on_and_nothing_else() -> None:
    assert list(ENFORCED) == list(MINIMAL.controls())
    for control, enforced in ENFORCED.items():
        assert enforced == set(VALUES[control])


@pytest.mark.parametrize("control", VALUES)
def test_a_value_that_is_not_enforced_refuses_the_run_in_one_line(
    control: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    value = VALUES[control][0]
    sandbox = declaring(**{control: value})
    assert require_enforced(sandbox) is sandbox
    monkeypatch.setitem(ENFORCED, control, ENFORCED[control] - {value})
    assert unenforced_controls(sandbox) == {control: value}
    with pytest.raises(UnenforcedControl) as caught:
        require_enforced(sandbox)
    message = str(caught.value)
    assert message.startswith(f"Sandbox configurable is refused: it declares {control}={value},")
    assert "\n" not in message


@pytest.mark.parametrize("name", SANDBOX_NAMES)
def test_every_sandbox_as_shipped_can_run(name: str) -> None:
    sandbox = find_sandbox(name)
    assert require_enforced(sandbox) is sandbox


def test_numbers_stand_beside_the_controls_that_use_them_and_no_others() -> None:
    assert numbers_of(MINIMAL, MINIMAL.rule) == {}
    private = find_sandbox("configurable")
    assert numbers_of(private, private.rule) == {
        "update_protection": {"epsilon": 8.0, "delta": 1e-5, "max_grad_norm": 1.0},
        "aggregation": {"tolerated": 2},
    }
    refined = Rule.by_default(Aggregation.FEDPROX)
    assert numbers_of(MINIMAL, refined) == {"aggregation": {"proximal_mu": 0.01}}


def test_what_is_simulated_says_so_and_nothing_else_does() -> None:
    said = [shown(declaring(**{name: each}), name) for name in VALUES for each in VALUES[name]]
    assert [each for each in said if "SIMULATED" in each] == ["attested (SIMULATED)"]
    for name, value in MINIMAL.controls().items():
        assert shown(MINIMAL, name) == value
