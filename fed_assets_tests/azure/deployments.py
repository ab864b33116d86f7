"""Templates of sandboxes for three hospitals, worked out, and ways to spoil them."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from typing import Any

from fed_assets.azure.check import require_sound
from fed_assets.azure.deployment import Deployment
from fed_assets.azure.parties import Party, parties
from fed_assets.azure.template import sandbox_template
from fed_assets.sandboxes.presets import find_sandbox

HOSPITALS = ("north", "east_end", "hospital_03")
EVERYONE: tuple[Party, ...] = parties(HOSPITALS)


@cache
def _made(name: str) -> dict[str, Any]:
    return sandbox_template(find_sandbox(name), HOSPITALS, base="heart", region="westeurope")


@cache
def _worked_out(name: str) -> Deployment:
    return require_sound(_made(name))


def template(name: str) -> dict[str, Any]:
    """Returns a sandbox's template, to do with as one likes."""
    return copy.deepcopy(_made(name))


def deployment(name: str) -> Deployment:
    """Returns what a sandbox's template comes to; nobody changes it."""
    return _worked_out(name)


def nested(made: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the hospitals' template in a whole one."""
    (found,) = [each for each in made["resources"] if each["type"].endswith("/deployments")]
    inner: dict[str, Any] = found["properties"]["template"]
    return inner


def resource(made: Mapping[str, Any], kind: str, name: str = "") -> dict[str, Any]:
    """Returns the one resource of a template of that type, in whose name this stands."""
    found = [each for each in made["resources"] if each["type"] == kind and name in each["name"]]
    assert len(found) == 1, [each["name"] for each in found]
    one: dict[str, Any] = found[0]
    return one


def spoilt(whole: Deployment, kind: str, name: str, path: str, value: Any) -> Deployment:
    """Returns a deployment in which one property of some resources says something else.

    Args:
        whole: the deployment.
        kind: the type of the resources.
        name: what stands in their names.
        path: the property, such as `properties.publicNetworkAccess`.
        value: what it says then.
    """
    changed = []
    hit = 0
    for each in whole.resources:
        if each.kind == kind and name in each.name:
            body = copy.deepcopy(dict(each.body))
            inner: Any = body
            *before, last = path.split(".")
            for step in before:
                inner = inner[int(step)] if isinstance(inner, list) else inner[step]
            assert inner[last] != value, f"{path} says so already"
            inner[last] = value
            hit += 1
            each = replace(each, body=body)
        changed.append(each)
    assert hit, f"nothing of {kind} is called {name}"
    return replace(whole, resources=changed)
