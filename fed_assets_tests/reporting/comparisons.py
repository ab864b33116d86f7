"""Comparisons of made-up figures, to make pages of."""

from __future__ import annotations

import json
from typing import Any

from fed_assets.comparison.comparison import compare
from fed_assets.comparison.profiles import Profile, profiles_from, shipped_profiles
from fed_assets.comparison.settings import Settings
from fed_assets_tests.comparison.conftest import SANDBOXES, figures_of, with_references

STEPS: dict[str, list[dict[str, Any]]] = {
    "minimal": [],
    "confidential_vm": [
        {"kind": "allow_walls", "who": ["operator"], "command": "sudo fed-assets run x"},
        {
            "kind": "approve_code",
            "who": ["hospital_01", "hospital_02", "coordinator"],
            "command": "fed-assets approve-code x HOSPITAL",
        },
    ],
}
PRICES = {"example": True, "currency": "EUR"}
MACHINE = {"system": "Linux-6.12-x86_64", "cores": 2}


def measurements() -> list[dict[str, Any]]:
    """Returns runs of all sandboxes but eyes_off, of which one has a gap and one a single seed.

    All but one have references of their kind, and one learned privately.
    """
    seeds = {"minimal": (0,), "eyes_on": (0, 1), "confidential_vm": (0, 1), "configurable": (0, 1)}
    runs = [figures_of(sandbox, seed) for sandbox, of in seeds.items() for seed in of]
    for run in runs:
        run["machine"] = dict(MACHINE)
        with_references(run, private=run["sandbox"] == "configurable")
        run["prices"] = dict(PRICES)
        run["not_measured"] = {"energy_joules": "no_counters"}
        if run["sandbox"] in STEPS:
            run["effort"]["steps"] = STEPS[run["sandbox"]]
        if run["sandbox"] == "minimal":
            del run["hospitals"]["hospital_03"]
        if run["sandbox"] == "confidential_vm":
            run["controls"]["key_custody"] = {"declared": "attested (SIMULATED)", "enforced": None}
            if run["seed"] == 1:
                run["references"] = {"why_not": "rounds", "private": False}
        if run["sandbox"] == "configurable":
            run["effort"] = None
    return runs


def record_of(
    runs: list[dict[str, Any]],
    *,
    profiles: dict[str, Profile] | None = None,
    sandboxes: tuple[str, ...] = SANDBOXES,
) -> dict[str, Any]:
    """Returns the record of a comparison, as it is read from its file."""
    found = compare(
        runs,
        sandboxes=sandboxes,
        profiles={"equal": shipped_profiles()["equal"]} if profiles is None else profiles,
        settings=Settings(draws=100),
    )
    stored: dict[str, Any] = json.loads(json.dumps(found.as_record()))
    return stored


def own_profile(**entries: str) -> dict[str, Profile]:
    """Returns a profile that a user wrote."""
    return profiles_from({"our_clinic": {"groups": {"quality": 1}, **entries}}, where="ours.yaml")
