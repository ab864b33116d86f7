"""Whether what resources name is there, and is there in time."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any

from fed_assets.azure.deployment import Deployment, Finding, Resource
from fed_assets.azure.functions import Later
from fed_assets.azure.roles import ROLES

# What some resources bring with them: by type, their property and the children's type.
BROUGHT = {
    "Microsoft.Network/virtualNetworks": (("subnets", "subnets"),),
    "Microsoft.Network/loadBalancers": tuple(
        (name, name) for name in ("frontendIPConfigurations", "backendAddressPools", "probes")
    ),
}
ENDPOINT = "Microsoft.Network/privateEndpoints"
DEFINITIONS = "/providers/Microsoft.Authorization/roleDefinitions/"


def broken_references(deployment: Deployment, *, outside: Collection[str] = ()) -> list[Finding]:
    """Returns every reference to what is not there, or not there yet, and circles of waiting.

    Azure waits for what stands in `dependsOn` and in `reference()` of the same template, and for
    nothing else that a property names.

    Args:
        deployment: what a template comes to.
        outside: ids of what is there already, such as a machine's image.
    """
    owners = dict(_owners(deployment.resources))
    by_id = {each.id: each for each in deployment.resources}
    found = []
    for each in deployment.resources:
        where = f"{each.template} {each.kind} {each.name}"
        waits = _waited_for(each, by_id)
        if each.id in waits:
            found.append(Finding(where, "it waits for itself, by way of what it needs"))
        for needed in (*each.needs, *each.asks):
            if owners.get(needed, each).template != each.template:
                what = f"it waits for {needed}, which stands in another template"
                found.append(Finding(where, what))
        for named in dict.fromkeys((*each.needs, *each.asks, *_named_by(each))):
            if _is_there(named, outside):
                continue
            owner = owners.get(named)
            if owner is None:
                found.append(Finding(where, f"it names {named}, and nothing is called so"))
            elif owner.template == each.template and owner.id not in {*waits, each.id}:
                found.append(Finding(where, f"it names {named}, and does not wait for it"))
    return found


def _is_there(named: str, outside: Collection[str]) -> bool:
    if named in outside:
        return True
    before, built_in, role = named.partition(DEFINITIONS)
    return bool(built_in) and role in ROLES and "/resourceGroups/" not in before


def _owners(resources: Iterable[Resource]) -> Iterator[tuple[str, Resource]]:
    """Yields each id that there is, with the resource that brings it."""
    for each in resources:
        yield each.id, each
        properties = each.body.get("properties") or {}
        for name, kind in BROUGHT.get(each.kind, ()):
            for child in properties.get(name, []):
                yield f"{each.id}/{kind}/{child['name']}", each
        if each.kind == ENDPOINT:
            card = properties["customNetworkInterfaceName"]
            cards = "providers/Microsoft.Network/networkInterfaces"
            yield f"{each.place.group_id}/{cards}/{card}", each


def _named_by(resource: Resource) -> Iterator[str]:
    """Yields the ids that a resource names, its parent and what it extends among them."""
    yield from _ids(resource.body)
    before, _, own = resource.id.rpartition("/providers/")
    if "/providers/" in before:
        yield before
    if len(own.split("/")) > 3:
        yield resource.id.rsplit("/", 2)[0]


def _ids(value: Any) -> Iterator[str]:
    if isinstance(value, Mapping):
        for key, each in value.items():
            yield from _ids(key)
            yield from _ids(each)
    elif isinstance(value, list):
        for each in value:
            yield from _ids(each)
    elif _is_id(value):
        yield value


def _is_id(value: Any) -> bool:
    known = isinstance(value, str) and not isinstance(value, Later)
    return known and value.startswith("/subscriptions/") and "/providers/" in value


def _waited_for(resource: Resource, by_id: Mapping[str, Resource]) -> set[str]:
    """Returns the ids of all that is there before a resource is asked for."""
    found: set[str] = set()
    ahead = [*resource.needs, *resource.asks]
    while ahead:
        each = ahead.pop()
        if each not in found:
            found.add(each)
            following = by_id.get(each)
            ahead += [*following.needs, *following.asks] if following else []
    return found
