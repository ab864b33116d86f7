"""What a roster and a sandbox ask a run to be, to be told from a run that was another."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from fed_assets.federation.averaging import rule_of
from fed_assets.federation.roster import Roster
from fed_assets.sandboxes.enforcement import numbers_of, shown
from fed_assets.sandboxes.sandbox import Sandbox

ROUNDS, NETWORK, RECIPE, THRESHOLD, CONTROLS, DATA = PARTS = (
    "rounds",
    "network",
    "recipe",
    "threshold",
    "controls",
    "data",
)
NUMBERED = (ROUNDS, THRESHOLD)  # of these, both numbers are told


def asked(roster: Roster, sandbox: Sandbox, data: str | None = None) -> dict[str, Any]:
    """Returns what a run of a sandbox is asked to be, as JSON holds it: by part, one of `PARTS`.

    Args:
        roster: the roster.
        sandbox: the sandbox.
        data: of `resources.asked_data.asked_data`; None where it cannot be told.

    Raises:
        IncompatibleControls: the roster asks for another rule than the sandbox promises.
    """
    learning, rule = roster.learning(sandbox.protection), rule_of(sandbox, roster.aggregation)
    controls = {name: shown(sandbox, name) for name in sandbox.controls()}
    found = {
        ROUNDS: roster.rounds,
        NETWORK: dict(learning.network),
        RECIPE: learning.recipe.model_dump() | rule.told_hospitals,
        THRESHOLD: roster.threshold,
        CONTROLS: {
            "values": controls | {"aggregation": str(rule.kind)},
            "numbers": numbers_of(sandbox, rule),
        },
        DATA: data,
    }
    as_json: dict[str, Any] = json.loads(json.dumps(found, default=str))
    return as_json


def otherwise(run: Mapping[str, Any], wanted: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Returns in which parts a run was measured otherwise than is asked for now.

    What a run did not record is not held against it, nor what cannot be told now.

    Args:
        run: its measurement, see `comparison/measurements.py`.
        wanted: of `asked`.

    Returns:
        Rows of `part`; of rounds and threshold also the numbers, `measured` and `asked`.
    """
    with_what, learning = run.get("trained_with") or {}, run.get("reference_learning") or {}
    known = {
        ROUNDS: run.get("rounds"),
        NETWORK: (run.get("model") or {}).get("network"),
        RECIPE: with_what.get("recipe"),
        THRESHOLD: learning.get("threshold"),
        DATA: with_what.get("data"),
    }
    found = [
        {"part": part} | ({"measured": value, "asked": wanted[part]} if part in NUMBERED else {})
        for part, value in known.items()
        if None not in (value, wanted[part]) and _json(value) != _json(wanted[part])
    ]
    declared = {
        name: each.get("declared") if isinstance(each, Mapping) else each
        for name, each in (run.get("controls") or {}).items()
    }
    values, numbers = wanted[CONTROLS]["values"], with_what.get("numbers")
    changed = any(declared[name] != values.get(name) for name in declared)
    if changed or (numbers is not None and _json(numbers) != _json(wanted[CONTROLS]["numbers"])):
        found.append({"part": CONTROLS})
    return found


def _json(value: Any) -> str:
    return json.dumps(value, sort_keys=True, default=str)
