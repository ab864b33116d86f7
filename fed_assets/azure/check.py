"""The whole check of a template without Azure: language, references, names and addresses."""

from __future__ import annotations

import ipaddress
import uuid
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from itertools import combinations
from typing import Any

from fed_assets.azure.arm import API_VERSIONS
from fed_assets.azure.deployment import Deployment, Finding, Resource
from fed_assets.azure.evaluation import evaluate
from fed_assets.azure.functions import Place
from fed_assets.azure.name_rules import broken_names
from fed_assets.azure.parties import COORDINATOR
from fed_assets.azure.references import broken_references
from fed_assets.errors import AzureTemplateError

# A place that is made up; names and rights do not depend on it.
SOMEWHERE = Place(
    subscription="11111111-1111-1111-1111-111111111111",
    tenant="22222222-2222-2222-2222-222222222222",
    group="rg-coordinator",
)
IMAGE = (
    f"{SOMEWHERE.subscription_id}/resourceGroups/rg-images/providers/"
    "Microsoft.Compute/galleries/fed_assets/images/machine"
)
MOST_RESOURCES = 800
# What a template cannot know, for the check alone.
MADE_UP = {
    "viewers": "33333333-3333-3333-3333-333333333333",
    "machineImage": IMAGE,
    "adminKey": "ssh-ed25519 AAAA",
}


def made_up(template: Mapping[str, Any]) -> dict[str, Any]:
    """Returns values for those parameters of a template that only who deploys it knows."""
    asked = template["parameters"]
    values = {name: value for name, value in MADE_UP.items() if name in asked}
    hospitals = [dict(each) for each in asked["hospitals"]["defaultValue"]]
    for each in hospitals:
        if "officers" in each:
            each["officers"] = officers_of(each["id"])
    return {**values, "hospitals": hospitals}


def officers_of(hospital: str) -> str:
    """Returns an object id, made up, for the group of a hospital's people."""
    return str(uuid.uuid5(uuid.NAMESPACE_URL, hospital))


def worked_out(template: Mapping[str, Any]) -> Deployment:
    """Returns what a template comes to, with all that is wrong with it among the findings."""
    base = template["parameters"]["base"]["defaultValue"]
    place = replace(SOMEWHERE, group=f"rg-{base}-{COORDINATOR}")
    deployment = evaluate(template, made_up(template), place)
    deployment.findings += [
        *broken_references(deployment, outside={IMAGE}),
        *broken_names(deployment.resources),
        *_other_versions(deployment.resources),
        *_too_many(deployment.resources),
        *_overlaps(deployment),
    ]
    return deployment


def require_sound(template: Mapping[str, Any]) -> Deployment:
    """Returns what a template comes to, if nothing is wrong with it.

    Raises:
        AzureTemplateError: something is; the message names the first finding.
    """
    deployment = worked_out(template)
    if deployment.findings:
        first, *others = deployment.findings
        more = f", and {len(others)} more" if others else ""
        raise AzureTemplateError(
            "The template would not be deployed as it stands",
            where=first.where,
            seen=f"{first.what}{more}",
        )
    return deployment


def _other_versions(resources: list[Resource]) -> list[Finding]:
    return [
        Finding(
            f"{each.template} {each.kind} {each.name}",
            f"its interface is not {API_VERSIONS.get(each.kind)}",
        )
        for each in resources
        if each.body.get("apiVersion") != API_VERSIONS.get(each.kind)
    ]


def _too_many(resources: list[Resource]) -> list[Finding]:
    counted = Counter(each.template for each in resources)
    return [
        Finding(template, f"{count} resources, and Azure takes {MOST_RESOURCES} of a template")
        for template, count in counted.items()
        if count > MOST_RESOURCES
    ]


def _overlaps(deployment: Deployment) -> list[Finding]:
    """Returns networks that share addresses, and subnets that do or that lie outside."""
    found = []
    networks = []
    for each in deployment.of_kind("Microsoft.Network/virtualNetworks"):
        properties = each.body["properties"]
        (whole,) = map(ipaddress.ip_network, properties["addressSpace"]["addressPrefixes"])
        subnets = [
            (subnet["name"], ipaddress.ip_network(subnet["properties"]["addressPrefix"]))
            for subnet in properties["subnets"]
        ]
        found += [
            Finding(each.template, f"the subnet {name} lies outside of {whole}")
            for name, part in subnets
            if not part.subnet_of(whole)  # type: ignore[arg-type]
        ]
        found += _shared(subnets, each.template)
        networks.append((each.template, whole))
    return found + _shared(networks, "all")


def _shared(named: list[tuple[str, Any]], where: str) -> list[Finding]:
    return [
        Finding(where, f"{one} and {other} share addresses of {first}")
        for (one, first), (other, second) in combinations(named, 2)
        if first.overlaps(second)
    ]
