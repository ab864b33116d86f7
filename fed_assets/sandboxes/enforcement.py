"""Which control values this version enforces; a sandbox that declares any other is refused."""

from __future__ import annotations

from typing import Any

from fed_assets.errors import UnenforcedControl
from fed_assets.sandboxes.controls import (
    Aggregation,
    JobCode,
    KeyCustody,
    Process,
    Statistics,
    Storage,
    Transport,
    UpdateProtection,
)
from fed_assets.sandboxes.protection import Rule
from fed_assets.sandboxes.sandbox import Sandbox

# A value stands here only if a test tries to break it and fails to.
ENFORCED: dict[str, frozenset[str]] = {
    "transport": frozenset({Transport.CLEAR, Transport.MTLS}),
    "storage": frozenset({Storage.PLAIN, Storage.SEALED}),
    "key_custody": frozenset(KeyCustody),
    "process": frozenset(Process),
    "previews": frozenset({"yes", "no"}),
    "statistics": frozenset(Statistics),
    "job_code": frozenset(JobCode),
    "update_protection": frozenset(UpdateProtection),
    "aggregation": frozenset(Aggregation),
}

# What is enforced by means that only imitate what the value promises: it says so wherever it shows.
SIMULATED = {"key_custody": KeyCustody.ATTESTED}
_MARK = " (SIMULATED)"


def shown(sandbox: Sandbox, control: str) -> str:
    """Returns a control's value as people are shown it: what is simulated says SIMULATED."""
    value = sandbox.value(control)
    return f"{value}{_MARK}" if SIMULATED.get(control) == value else value


def declared(shown_as: str) -> str:
    """Returns the value that `shown` shows people so."""
    return shown_as.removesuffix(_MARK)


def numbers_of(sandbox: Sandbox, rule: Rule) -> dict[str, dict[str, Any]]:
    """Returns the numbers that go with a sandbox's values, by control; none where there are none.

    Args:
        sandbox: whose they are.
        rule: by which updates meet, as a roster may refine it.
    """
    records = {"update_protection": sandbox.protection.as_record(), "aggregation": rule.as_record()}
    return {
        control: {name: value for name, value in record.items() if name != "kind"}
        for control, record in records.items()
        if len(record) > 1
    }


def unenforced_controls(sandbox: Sandbox) -> dict[str, str]:
    """Returns the controls whose declared value is not enforced, with that value."""
    return {
        control: value
        for control, value in sandbox.controls().items()
        if value not in ENFORCED[control]
    }


def require_enforced(sandbox: Sandbox) -> Sandbox:
    """Returns the sandbox, if each control that it declares is enforced.

    Raises:
        UnenforcedControl: one is not; the message names the sandbox, the control and the value.
    """
    unenforced = unenforced_controls(sandbox)
    if unenforced:
        declared = ", ".join(f"{control}={value}" for control, value in unenforced.items())
        raise UnenforcedControl(
            f"Sandbox {sandbox.name} is refused: it declares {declared}, "
            "which this version does not enforce"
        )
    return sandbox
