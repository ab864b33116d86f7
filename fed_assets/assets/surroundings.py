"""What a comparison is made among: what sandboxes declare and ask for, prices, and the machine."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from fed_assets.assets.effort import steps_of
from fed_assets.assets.made_on import machine, versions
from fed_assets.assets.security_record import audits, with_security
from fed_assets.comparison.surroundings import Surroundings
from fed_assets.errors import SandboxError
from fed_assets.federation.asked import asked
from fed_assets.federation.averaging import rule_of
from fed_assets.federation.roster import Roster
from fed_assets.resources.asked_data import asked_data
from fed_assets.resources.prices import Prices
from fed_assets.resources.settings import Settings
from fed_assets.sandboxes.enforcement import shown
from fed_assets.sandboxes.presets import SANDBOX_NAMES, find_sandbox
from fed_assets.sandboxes.sandbox import Sandbox


def wanted_of(roster: Roster, settings: Settings) -> dict[str, dict[str, Any]]:
    """Returns what a run of each sandbox is asked to be now, by sandbox, see `asked`.

    One that cannot run is left out: nothing is asked of it.
    """
    found = {}
    data = asked_data(roster, data=settings.data, cache=settings.home.cache)
    for name in SANDBOX_NAMES:
        with suppress(SandboxError):
            sandbox = find_sandbox(name, configurable=settings.configurable)
            found[name] = asked(roster, sandbox, data)
    return found


def surroundings_of(roster: Roster, settings: Settings, prices: Prices) -> Surroundings:
    """Returns what a comparison on this machine is made among.

    A sandbox whose definition cannot be read declares nothing.

    Raises:
        StorageError: what an audit showed is damaged.
    """
    postures, defined = audits(settings.home), {}
    for name in SANDBOX_NAMES:
        with suppress(SandboxError):
            defined[name] = find_sandbox(name, configurable=settings.configurable)
    known = {name: _declared(each, roster, postures[name]) for name, each in defined.items()}
    return Surroundings(
        controls={name: each["controls"] for name, each in known.items()},
        security={name: each["security"] for name, each in known.items()},
        steps={
            name: [step.as_record() for step in steps_of(sandbox, roster)]
            for name, sandbox in defined.items()
        },
        currency=prices.currency,
        machine=machine(),
        versions=versions(),
    )


def _declared(
    sandbox: Sandbox, roster: Roster, posture: Mapping[str, Any] | None
) -> dict[str, Any]:
    """Returns a sandbox's `controls` and `security` as a measurement has them, before any run."""
    values = {name: shown(sandbox, name) for name in sandbox.controls()}
    with suppress(SandboxError):  # which a run says
        values["aggregation"] = str(rule_of(sandbox, roster.aggregation).kind)
    controls = {name: {"declared": value, "enforced": None} for name, value in values.items()}
    return with_security({"controls": controls, "security": {}}, posture)
