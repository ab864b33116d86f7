"""What a subscription needs before a template can be deployed, read off the template."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from fed_assets.azure.declared import PARAMETERS
from fed_assets.azure.deployment import Deployment
from fed_assets.azure.hospital_side import HOME, IMAGES
from fed_assets.azure.machines import MACHINES, SIZES
from fed_assets.azure.networks import ADDRESS
from fed_assets.azure.parties import COORDINATOR, Party
from fed_assets.azure.roles import ASSIGNMENTS, DEFINITIONS
from fed_assets.azure.stores import ACCOUNT, CONTAINER
from fed_assets.azure.template import OWN
from fed_assets.azure.vaults import RETENTION_DAYS, VAULT
from fed_assets.azure.workspaces import DATASTORE, REGISTRY, WORKSPACE
from fed_assets.sandboxes.controls import KeyCustody
from fed_assets.sandboxes.sandbox import Sandbox

FREE_NAMES = {
    ACCOUNT: "az storage account check-name --name NAME",
    VAULT: "az keyvault check-name --name NAME",
    REGISTRY: "az acr check-name --name NAME",
}
# By datastore, which is called as the roster's `azure_ml` calls it, which folder of it is meant.
FOLDERS = {
    HOME: "FOLDER is one of its choice",
    IMAGES: "FOLDER is the one that its officers put images into",
}


@dataclass(frozen=True)
class Need:
    """One thing that has to be so.

    Attributes:
        kind: what sort of thing: `resource group`, `role`, `provider`, `feature`, `vCPUs`, `vCPUs
            of clusters`, `size offered`, `public addresses`, `free name`, `no deleted vault`,
            `value`, `sandbox` or `roster`.
        what: the thing itself.
        where: its region or resource group, or whose it is.
        look: the command that tells whether it is so, with NAME for the thing and WHERE; or what
            the value is for.
    """

    kind: str
    what: str
    where: str
    look: str

    def as_record(self) -> dict[str, str]:
        """Returns it as JSON-ready texts."""
        return asdict(self)


def grouped(wanted: Iterable[Need]) -> list[tuple[str, str, str]]:
    """Returns by kind and command what there is to look for, as a person reads it.

    >>> grouped([Need("role", "Owner", "rg-one", "az …"), Need("role", "Owner", "rg-two", "az …")])
    [('role', 'Owner: rg-one, rg-two', 'az …')]
    """
    rows: dict[tuple[str, str], list[Need]] = {}
    for each in wanted:
        rows.setdefault((each.kind, each.look), []).append(each)
    return [(kind, _together(alike), look) for (kind, look), alike in rows.items()]


def _together(alike: list[Need]) -> str:
    names = list(dict.fromkeys(each.what for each in alike))
    places = list(dict.fromkeys(each.where for each in alike))
    if len(names) == 1:
        return f"{names[0]}: {', '.join(places)}"
    if len(places) == 1:
        return f"{', '.join(names)}: {places[0]}"
    return ", ".join(f"{each.what} ({each.where})" for each in alike)


def needs(
    sandbox: Sandbox, template: Mapping[str, Any], deployment: Deployment, everyone: Iterable[Party]
) -> list[Need]:
    """Returns what has to be so before a template is deployed.

    Args:
        sandbox: whose template it is.
        template: it.
        deployment: what it comes to.
        everyone: the parties.
    """
    known = list(everyone)
    groups = _groups(template, known)
    return [
        *_groups_and_roles(groups, deployment),
        *_providers(deployment),
        *_quotas(deployment),
        *_names(deployment),
        *_values(template),
        *_of_sandbox(sandbox, template, known),
        *_of_roster(deployment, known),
    ]


def _groups(template: Mapping[str, Any], known: list[Party]) -> list[tuple[str, str]]:
    """Returns each resource group and its region, the coordinator's first."""
    base = template["parameters"]["base"]["defaultValue"]
    coordinator = next(each for each in known if each.id == COORDINATOR)
    region = template["parameters"]["location"]["defaultValue"]
    hospitals = template["parameters"]["hospitals"]["defaultValue"]
    return [
        (f"rg-{base}-{coordinator.short}", region),
        *((each["resourceGroup"], each["location"]) for each in hospitals),
    ]


def _groups_and_roles(groups: list[tuple[str, str]], deployment: Deployment) -> Iterator[Need]:
    for name, region in groups:
        yield Need("resource group", name, region, "az group show --name NAME")
    gives = deployment.of_kind(ASSIGNMENTS) or deployment.of_kind(DEFINITIONS)
    role = "Owner" if gives else "Contributor"
    look = "az role assignment list --assignee YOU --resource-group WHERE"
    for name, _ in groups:
        yield Need("role", role, name, look)


def _providers(deployment: Deployment) -> Iterator[Need]:
    for name in sorted({each.kind.partition("/")[0] for each in deployment.resources}):
        look = "az provider show --namespace NAME --query registrationState"
        yield Need("provider", name, "subscription", look)
    if any(_at_host(each.body) for each in deployment.of_kind(MACHINES)):
        look = "az feature show --namespace Microsoft.Compute --name EncryptionAtHost"
        yield Need("feature", "EncryptionAtHost", "subscription", look)


def _at_host(machine: Mapping[str, Any]) -> bool:
    return bool(machine["properties"]["securityProfile"].get("encryptionAtHost"))


def _quotas(deployment: Deployment) -> Iterator[Need]:
    """Yields the vCPUs by family and region: of machines, and of clusters, which count apart."""
    wanted: Counter[tuple[str, str, str]] = Counter()
    for each in deployment.of_kind(MACHINES):
        family, cores = SIZES[each.body["properties"]["hardwareProfile"]["vmSize"]]
        wanted["az vm list-usage", family, each.body["location"]] += cores
    for each in deployment.of_kind(f"{WORKSPACE}/computes"):
        properties = each.body["properties"]["properties"]
        family, cores = SIZES[properties["vmSize"]]
        nodes = properties["scaleSettings"]["maxNodeCount"]
        wanted["az ml compute list-usage", family, each.body["location"]] += cores * nodes
    for (command, family, region), cores in sorted(wanted.items()):
        kind = "vCPUs of clusters" if " ml " in command else "vCPUs"
        yield Need(kind, f"{cores} of {family}", region, f"{command} --location WHERE")
    for size, region in sorted(_sizes(deployment)):
        look = "az vm list-skus --location WHERE --size NAME"
        yield Need("size offered", size, region, look)
    addresses = Counter(each.body["location"] for each in deployment.of_kind(ADDRESS))
    for region, count in sorted(addresses.items()):
        look = "az network list-usages --location WHERE"
        yield Need("public addresses", str(count), region, look)


def _sizes(deployment: Deployment) -> set[tuple[str, str]]:
    """Returns the sizes of machines and clusters, each with its region."""
    of_machines = {
        (each.body["properties"]["hardwareProfile"]["vmSize"], each.body["location"])
        for each in deployment.of_kind(MACHINES)
    }
    return of_machines | {
        (each.body["properties"]["properties"]["vmSize"], each.body["location"])
        for each in deployment.of_kind(f"{WORKSPACE}/computes")
    }


def _names(deployment: Deployment) -> Iterator[Need]:
    for kind, look in FREE_NAMES.items():
        for each in deployment.of_kind(kind):
            yield Need("free name", each.name, "all of Azure", look)
    look = "az keyvault list-deleted --query \"[?name=='NAME']\""
    where = f"the last {RETENTION_DAYS} days"
    for each in deployment.of_kind(VAULT):
        yield Need("no deleted vault", each.name, where, look)


def _values(template: Mapping[str, Any]) -> Iterator[Need]:
    """Yields what only who deploys it knows."""
    for name, said in template["parameters"].items():
        if "defaultValue" not in said:
            yield Need("value", name, "parameters", said["metadata"]["description"])
        elif name == "attestation":
            look = f"{said['metadata']['description']} By default {said['defaultValue']}."
            yield Need("value", name, "parameters", look)
    for each in template["parameters"]["hospitals"]["defaultValue"]:
        for name in ("officers", "officerAddresses", "adminKey"):
            if name in each and name in OWN:
                said = str(PARAMETERS[name]["metadata"]["description"])
                yield Need("value", name, each["id"], said)


def _of_sandbox(
    sandbox: Sandbox, template: Mapping[str, Any], known: list[Party]
) -> Iterator[Need]:
    """Yields what the sandbox's YAML has to say so that the software uses the vaults' keys."""
    if sandbox.key_custody not in (KeyCustody.HOSPITAL, KeyCustody.AZURE_KEY_VAULT):
        return
    base = template["parameters"]["base"]["defaultValue"]
    url = f"https://kv-{base}-{{hospital}}.vault.azure.net/keys/{{hospital}}"
    look = "the software finds each party's key by it"
    if sandbox.key_vault not in (None, url):
        look = f"it says {sandbox.key_vault}, which are no keys of this template"
    what = f"key_custody: azure_key_vault, key_vault: {url}"
    others = [each.id for each in known if each.short != each.key]
    if others:
        look = f"it does not find those of {', '.join(others)}: their ids are too long for a vault"
    yield Need("sandbox", what, "its YAML", look)


def _of_roster(deployment: Deployment, known: list[Party]) -> Iterator[Need]:
    """Yields what the roster has to say of hospitals to whom the coordinator may submit jobs."""
    parties = {each.short: each.id for each in known}
    look = "the hospital's `azure_ml` takes it"
    submitted = set()
    for each in deployment.of_kind(CONTAINER):
        account, _, name = each.name.split("/")
        of, _, short = name.partition("-")
        if of == "messages":
            submitted.add(f"hospital-{short}")
            what = f"messages: https://{account}.blob.core.windows.net/{name}"
            yield Need("roster", what, parties[short], look)
    for each in deployment.of_kind(DATASTORE):
        if each.template in submitted:
            name = each.name.rpartition("/")[2]
            what = f"{name}: azureml://datastores/{name}/paths/FOLDER"
            hospital = parties[each.template.removeprefix("hospital-")]
            yield Need("roster", what, hospital, f"{look}; {FOLDERS[name]}")
