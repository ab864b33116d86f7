"""What each control of a sandbox promises of the cloud, looked for in what its template is."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from typing import Any

from fed_assets.azure.deployment import Deployment, Resource
from fed_assets.azure.machines import CONFIDENTIAL_SIZES
from fed_assets.azure.permissions import VIEWERS, Right, rights
from fed_assets.azure.roles import May
from fed_assets.sandboxes.sandbox import Sandbox
from fed_assets_tests.azure.deployments import EVERYONE
from fed_assets_tests.azure.own_store import broken_in_stores

ACCOUNT = "Microsoft.Storage/storageAccounts"
VAULT = "Microsoft.KeyVault/vaults"
REGISTRY = "Microsoft.ContainerRegistry/registries"
WORKSPACE = "Microsoft.MachineLearningServices/workspaces"
CLOSABLE = (ACCOUNT, VAULT, REGISTRY, WORKSPACE)
# Where traffic of a hospital's machines may go in a sandbox that closes networks.
LISTED = {
    *("AzureMachineLearning", "BatchNodeManagement.westeurope", "AzureActiveDirectory"),
    *("AzureResourceManager", "Storage.westeurope", "MicrosoftContainerRegistry.westeurope"),
    *("AzureFrontDoor.FirstParty", "AzureAttestation"),
}


def broken_promises(sandbox: Sandbox, whole: Deployment) -> list[str]:
    """Returns by control what is not so that the sandbox declares; none, if all is."""
    given = rights(whole, EVERYONE)
    return [
        f"{control}: {said}"
        for control, found in {
            "every sandbox": _everywhere(whole, given),
            "a hospital's store": broken_in_stores(whole, given),
            "storage": _storage(sandbox, whole),
            "key_custody": _key_custody(sandbox, whole, given),
            "process": _process(sandbox, whole),
            "previews": _previews(sandbox, given),
            "job_code": _job_code(sandbox, whole, given),
        }.items()
        for said in found
    ]


def of_hospitals(whole: Deployment, kind: str) -> list[Resource]:
    return [each for each in whole.of_kind(kind) if each.template != "main"]


def _said(each: Resource, *path: str) -> Any:
    value: Any = each.body["properties"]
    for step in path:
        value = (value or {}).get(step)
    return value


def _everywhere(whole: Deployment, given: list[Right]) -> Iterator[str]:
    wanted = {
        "allowSharedKeyAccess": False,
        "allowBlobPublicAccess": False,
        "allowCrossTenantReplication": False,
        "supportsHttpsTrafficOnly": True,
        "minimumTlsVersion": "TLS1_2",
    }
    for each in whole.of_kind(ACCOUNT):
        for name, value in wanted.items():
            if _said(each, name) != value:
                yield f"{each.name} says {name} {_said(each, name)}"
    for each in whole.of_kind(f"{ACCOUNT}/blobServices/containers"):
        if _said(each, "publicAccess") != "None":
            yield f"{each.name} is public"
    for each in whole.of_kind(VAULT):
        if not (_said(each, "enableRbacAuthorization") and _said(each, "enablePurgeProtection")):
            yield f"{each.name} goes without roles or without protection from purging"
    for right in given:
        box = right.what.thing == "drop box"
        own = right.who.party == right.what.party
        if box and own and right.may != {May.ADD}:
            yield f"{right.who.party} may do more with its drop box than add"
        if right.what.thing == "messages" and own and right.may != {May.READ, May.ADD}:
            yield f"{right.who.party} may do more with its messages than read and add"
        another = right.who.party not in ("", "coordinator", right.what.party)
        if another and right.what.party != "coordinator":
            yield f"{right.who.party} may do something with the {right.what.thing} of another"
        if another and right.what.party == "coordinator" and right.what.thing != "global":
            yield f"{right.who.party} may do something with the coordinator's {right.what.thing}"


def _storage(sandbox: Sandbox, whole: Deployment) -> Iterator[str]:
    sealed = sandbox.storage == "sealed"
    for each in whole.of_kind(ACCOUNT):
        source = _said(each, "encryption", "keySource")
        if source != ("Microsoft.Keyvault" if sealed else "Microsoft.Storage"):
            yield f"{each.name} takes its key from {source}"
        elif sealed:
            vault = _said(each, "encryption", "keyvaultproperties", "keyvaulturi")
            if not vault.resource.startswith(f"{each.place.group_id}/providers/{VAULT}/kv-"):
                yield f"{each.name} takes its key from another's vault"


def _key_custody(sandbox: Sandbox, whole: Deployment, given: list[Right]) -> Iterator[str]:
    keys = [each for each in whole.of_kind(f"{VAULT}/keys") if not each.name.endswith("/0-store")]
    if sandbox.key_custody == "none":
        yield from (f"there is a key {each.name}" for each in keys)
        return
    if len({each.name.partition("/")[0] for each in keys}) != len(EVERYONE):
        yield "there is not a vault with a key for each party"
    attested = sandbox.key_custody == "attested"
    wanted = {May.RELEASE_KEY} if attested else {May.USE_KEY}
    users: dict[str, set[tuple[str, str]]] = {}
    for right in given:
        if right.what.thing == "key" and not right.by_jobs:
            users.setdefault(right.what.party, set()).add((right.who.party, right.who.kind))
            if right.may != wanted:
                yield f"the key of {right.what.party} is for more than it should be"
    for each in EVERYONE:
        if users.get(each.id) != {(each.id, "machine")}:
            yield f"the key of {each.id} is used by {users.get(each.id)}"
    for each in keys:
        if _said(each, "kty") != "RSA-HSM":
            yield f"{each.name} lies in no hardware"
        if _said(each, "attributes", "exportable") != attested:
            yield f"{each.name} can{'not' if attested else ''} leave the vault"
        if attested:
            yield from _policy(each)
    for each in whole.of_kind(VAULT):
        if each.name.startswith("kv-") and _said(each, "sku", "name") != "premium":
            yield f"{each.name} has no hardware"
    if attested:
        yield from _confidential(whole)


def _policy(key: Resource) -> Iterator[str]:
    data = _said(key, "release_policy", "data")
    policy = json.loads(base64.b64decode(data)) if data else {}
    (only,) = policy.get("anyOf", [{}])
    claims = {each["claim"]: each["equals"] for each in only.get("allOf", [])}
    if not only.get("authority", "").startswith("https://"):
        yield f"{key.name} is released on nobody's word"
    if claims != {
        "x-ms-isolation-tee.x-ms-attestation-type": "sevsnpvm",
        "x-ms-isolation-tee.x-ms-compliance-status": "azure-compliant-cvm",
    }:
        yield f"{key.name} is released on {claims}"


def _confidential(whole: Deployment) -> Iterator[str]:
    machines = whole.of_kind("Microsoft.Compute/virtualMachines")
    if len(machines) != len(EVERYONE):
        yield f"there are {len(machines)} machines for {len(EVERYONE)} parties"
    for each in machines:
        disk = _said(each, "storageProfile", "osDisk")["managedDisk"]
        seen = (
            _said(each, "securityProfile", "securityType"),
            _said(each, "securityProfile", "uefiSettings"),
            disk.get("securityProfile"),
            _said(each, "hardwareProfile", "vmSize") in CONFIDENTIAL_SIZES,
        )
        if seen != (
            "ConfidentialVM",
            {"secureBootEnabled": True, "vTpmEnabled": True},
            {"securityEncryptionType": "DiskWithVMGuestState"},
            True,
        ):
            yield f"{each.template} {each.name} is not confidential: {seen}"


def _process(sandbox: Sandbox, whole: Deployment) -> Iterator[str]:
    networks = of_hospitals(whole, "Microsoft.Network/virtualNetworks")
    if sandbox.process == "shared":
        yield from (f"{each.template} has a network" for each in networks)
        for each in of_hospitals(whole, ACCOUNT):
            if (_said(each, "publicNetworkAccess"), _default(each)) != ("Enabled", "Allow"):
                yield f"{each.name} is not open as declared"
        return
    if len(networks) != len(EVERYONE) - 1:
        yield "there is not a network for each hospital"
    yield from _peers(whole)
    confined = sandbox.process == "confined"
    for each in of_hospitals(whole, "Microsoft.Network/networkSecurityGroups"):
        yield from _closed_but_for_what_is_listed(each, confined=confined)
    for kind in CLOSABLE:
        for each in of_hospitals(whole, kind):
            yield from _closed(each) if confined else _answers_its_network(each)
    for kind in CLOSABLE:
        for each in whole.of_kind(kind):
            yield from _closed(each) if each.template == "main" else ()
    if confined:
        yield from _reached_privately(whole)


def _default(each: Resource) -> Any:
    rules = _said(each, "networkAcls") or _said(each, "networkRuleSet") or {}
    return rules.get("defaultAction")


def _peers(whole: Deployment) -> Iterator[str]:
    for each in whole.resources:
        if "virtualNetworkPeerings" in each.kind:
            yield f"{each.name} joins two networks"


def _closed_but_for_what_is_listed(group: Resource, *, confined: bool) -> Iterator[str]:
    where = f"{group.template} {group.name}"
    rules = [each["properties"] for each in _said(group, "securityRules")]
    for direction in ("Inbound", "Outbound"):
        last = max(
            (each for each in rules if each["direction"] == direction),
            key=lambda each: each["priority"],
        )
        everything = (last["sourceAddressPrefix"], last["destinationAddressPrefix"])
        if (last["access"], last["protocol"], *everything) != ("Deny", "*", "*", "*"):
            yield f"{where} does not end with nothing else {direction}"
    own = {each.network.rpartition(".")[0].rpartition(".")[0] for each in EVERYONE}
    for each in rules:
        if each["direction"] == "Outbound" and each["access"] == "Allow":
            peer = each["destinationAddressPrefix"]
            inside = any(peer.startswith(f"{prefix}.") for prefix in own)
            if not inside and peer not in LISTED | (set() if confined else {"AzureKeyVault"}):
                yield f"{where} lets traffic out to {peer}"
        if confined and each["direction"] == "Inbound" and each["access"] == "Allow":
            peer = each["sourceAddressPrefix"]
            if not any(peer.startswith(f"{prefix}.") for prefix in own):
                yield f"{where} lets traffic in from {peer}"


def _closed(each: Resource) -> Iterator[str]:
    if _said(each, "publicNetworkAccess") != "Disabled":
        yield f"{each.name} answers a public network"
    if each.kind != WORKSPACE and _default(each) != "Deny":
        yield f"{each.name} answers by default"


def _answers_its_network(each: Resource) -> Iterator[str]:
    if each.kind not in (ACCOUNT, VAULT):
        return
    rules = [rule["id"] for rule in _said(each, "networkAcls", "virtualNetworkRules")]
    subnets = f"{each.place.group_id}/providers/Microsoft.Network/virtualNetworks/network/subnets"
    if _default(each) != "Deny" or rules != [f"{subnets}/machines"]:
        yield f"{each.name} answers others than its network"


def _reached_privately(whole: Deployment) -> Iterator[str]:
    reached = {
        connection["properties"]["privateLinkServiceId"]
        for each in of_hospitals(whole, "Microsoft.Network/privateEndpoints")
        for connection in _said(each, "privateLinkServiceConnections")
    }
    for kind in CLOSABLE:
        for each in of_hospitals(whole, kind):
            if each.id not in reached:
                yield f"{each.name} has no private endpoint"
    for each in of_hospitals(whole, "Microsoft.Network/publicIPAddresses"):
        if each.name != "way-out":
            yield f"{each.template} has the public address {each.name}"
    for each in of_hospitals(whole, f"{WORKSPACE}/computes"):
        if _said(each, "properties", "enableNodePublicIp") is not False:
            yield f"the nodes of {each.name} have public addresses"


def _previews(sandbox: Sandbox, given: list[Right]) -> Iterator[str]:
    viewed = {right.what.party for right in given if right.who.kind == VIEWERS}
    more = {right for right in given if right.who.kind == VIEWERS and right.may != {May.READ}}
    hospitals = {each.id for each in EVERYONE[1:]}
    if viewed != (hospitals if sandbox.previews else set()):
        yield f"viewers may look at the images of {sorted(viewed)}"
    if more:
        yield "viewers may do more than look"


def _job_code(sandbox: Sandbox, whole: Deployment, given: list[Right]) -> Iterator[str]:
    submits = {
        right.what.party
        for right in given
        if right.who.party == "coordinator"
        and right.what.party != "coordinator"
        and May.SUBMIT in right.may
    }
    hospitals = {each.id for each in EVERYONE[1:]}
    passed = {right.what.party for right in given if right.what.thing == "messages"}
    if passed != submits:
        yield f"messages pass for {sorted(passed)}, and jobs are submitted to {sorted(submits)}"
    if submits != (hospitals if sandbox.job_code == "submitted" else set()):
        yield f"the coordinator may submit jobs to {sorted(submits)}"
    if sandbox.job_code == "measured":
        yield from (f"there is {each.name}" for each in of_hospitals(whole, WORKSPACE))
        for each in of_hospitals(whole, "Microsoft.Compute/virtualMachines"):
            profile = _said(each, "osProfile")
            agent = profile["linuxConfiguration"]["provisionVMAgent"]
            if profile["allowExtensionOperations"] is not False or agent is not False:
                yield f"{each.template} {each.name} takes commands from Azure"
