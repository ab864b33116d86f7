"""Each sandbox's template keeps what its controls promise, and a flipped setting shows."""

from __future__ import annotations

import base64
import json
from dataclasses import replace
from typing import Any

import pytest

from fed_assets.azure.check import require_sound
from fed_assets.azure.cloud_controls import SETTINGS, SOFTWARE, becomes, cloud_controls
from fed_assets.azure.functions import Later
from fed_assets.azure.roles import BLOB_CONTRIBUTOR, BLOB_READER, KEY_USER, SUBMITTER
from fed_assets.azure.template import sandbox_template
from fed_assets.sandboxes.controls import KeyCustody, Process, Storage
from fed_assets.sandboxes.presets import EYES_OFF, EYES_ON, SANDBOX_NAMES, find_sandbox
from fed_assets.sandboxes.sandbox import Sandbox, allowed_values
from fed_assets_tests.azure.deployments import HOSPITALS, deployment, spoilt
from fed_assets_tests.azure.promises import (
    ACCOUNT,
    REGISTRY,
    VAULT,
    WORKSPACE,
    broken_promises,
)

MACHINE = "Microsoft.Compute/virtualMachines"
GROUP = "Microsoft.Network/networkSecurityGroups"
ROLES = "Microsoft.Authorization/roleAssignments"
OTHER_POLICY = base64.b64encode(
    json.dumps({"anyOf": [{"authority": "https://elsewhere.example", "allOf": []}]}).encode()
).decode()


@pytest.mark.parametrize("name", SANDBOX_NAMES)
def test_a_template_keeps_what_its_sandbox_promises(name: str) -> None:
    assert broken_promises(find_sandbox(name), deployment(name)) == []


@pytest.mark.parametrize(
    "changed",
    [
        {"process": Process.CONFINED},
        {"process": Process.CONFINED, "storage": Storage.SEALED, "key_custody": "azure_key_vault"},
        {"storage": Storage.SEALED, "key_custody": KeyCustody.HOSPITAL},
        {"process": Process.SHARED},
    ],
    ids=str,
)
def test_so_does_one_of_a_sandbox_of_ones_own(changed: dict[str, Any]) -> None:
    key = "https://kv-heart-{hospital}.vault.azure.net/keys/{hospital}"
    vault = {"key_vault": key} if changed.get("key_custody") == "azure_key_vault" else {}
    sandbox = Sandbox.model_validate(EYES_ON.model_dump() | changed | vault)
    made = sandbox_template(sandbox, HOSPITALS, base="heart", region="westeurope")
    assert broken_promises(sandbox, require_sound(made)) == []


@pytest.mark.parametrize(
    ("name", "kind", "which", "path", "value", "found"),
    [
        ("minimal", ACCOUNT, "stheartnorth", "allowSharedKeyAccess", True, "allowSharedKeyAccess"),
        ("eyes_off", ACCOUNT, "heart", "minimumTlsVersion", "TLS1_0", "minimumTlsVersion"),
        ("eyes_on", ACCOUNT, "heart", "allowBlobPublicAccess", True, "allowBlobPublicAccess"),
        (
            "eyes_on",
            f"{ACCOUNT}/blobServices/containers",
            "images",
            "publicAccess",
            "Blob",
            "public",
        ),
        ("eyes_off", VAULT, "kv-", "enablePurgeProtection", False, "purging"),
        ("eyes_off", ACCOUNT, "stheart", "encryption.keySource", "Microsoft.Storage", "storage: "),
        ("eyes_off", VAULT, "kv-", "publicNetworkAccess", "Enabled", "answers a public network"),
        ("eyes_off", ACCOUNT, "st", "publicNetworkAccess", "Enabled", "answers a public network"),
        ("eyes_off", ACCOUNT, "sw", "networkAcls.defaultAction", "Allow", "answers by default"),
        ("eyes_off", REGISTRY, "cr", "publicNetworkAccess", "Enabled", "answers a public"),
        ("eyes_off", WORKSPACE, "north", "publicNetworkAccess", "Enabled", "answers a public"),
        ("eyes_off", f"{VAULT}/keys", "/north", "attributes.exportable", True, "leave the vault"),
        ("eyes_off", f"{VAULT}/keys", "/north", "kty", "RSA", "no hardware"),
        (
            "eyes_off",
            f"{WORKSPACE}/computes",
            "north",
            "properties.enableNodePublicIp",
            True,
            "nodes",
        ),
        (
            "eyes_on",
            ACCOUNT,
            "stheartnorth",
            "networkAcls.virtualNetworkRules",
            [],
            "answers others",
        ),
        (
            "eyes_on",
            VAULT,
            "kw-heart-north",
            "networkAcls.defaultAction",
            "Allow",
            "answers others",
        ),
        ("eyes_on", ACCOUNT, "coordinator", "publicNetworkAccess", "Enabled", "answers a public"),
        ("eyes_off", VAULT, "coordinator", "publicNetworkAccess", "Enabled", "answers a public"),
        ("minimal", ACCOUNT, "stheartnorth", "publicNetworkAccess", "Disabled", "not open"),
        (
            "confidential_vm",
            MACHINE,
            "",
            "securityProfile.securityType",
            "TrustedLaunch",
            "not conf",
        ),
        (
            *("confidential_vm", MACHINE, "hospital"),
            *("securityProfile.uefiSettings.secureBootEnabled", False, "not confidential"),
        ),
        (
            *("confidential_vm", MACHINE, "hospital"),
            *("securityProfile.uefiSettings.vTpmEnabled", False, "not confidential"),
        ),
        (
            *("confidential_vm", MACHINE, "hospital", "storageProfile.osDisk.managedDisk"),
            *({"storageAccountType": "Premium_LRS"}, "not confidential"),
        ),
        (
            *("confidential_vm", MACHINE, "hospital", "hardwareProfile.vmSize"),
            *("Standard_D4ds_v5", "not confidential"),
        ),
        (
            *("confidential_vm", MACHINE, "hospital", "osProfile.allowExtensionOperations"),
            *(True, "takes commands"),
        ),
        (
            *("confidential_vm", f"{VAULT}/keys", "/north", "release_policy.data"),
            *(OTHER_POLICY, "is released on {}"),
        ),
        (
            *("confidential_vm", f"{VAULT}/keys", "/north", "attributes.exportable"),
            *(False, "cannot leave the vault"),
        ),
    ],
)
def test_a_flipped_setting_breaks_a_promise(
    name: str, kind: str, which: str, path: str, value: Any, found: str
) -> None:
    broken = spoilt(deployment(name), kind, which, f"properties.{path}", value)
    assert any(found in each for each in broken_promises(find_sandbox(name), broken))


@pytest.mark.parametrize("direction", ["Inbound", "Outbound"])
@pytest.mark.parametrize("name", ["eyes_on", "eyes_off", "confidential_vm"])
def test_a_network_that_is_left_open_breaks_one(name: str, direction: str) -> None:
    whole = deployment(name)
    rules = [
        each
        for each in whole.of_kind(GROUP)[-1].body["properties"]["securityRules"]
        if each["name"] != f"nothing-else-{direction.lower()}"
    ]
    anything = {
        "name": "anything",
        "properties": {
            "direction": direction,
            "access": "Allow",
            "priority": 4000,
            "protocol": "*",
            "sourceAddressPrefix": "*",
            "destinationAddressPrefix": "*",
        },
    }
    broken = spoilt(whole, GROUP, "machines", "properties.securityRules", [*rules, anything])
    told = broken_promises(find_sandbox(name), broken)
    assert any(f"nothing else {direction}" in each for each in told)


def test_jobs_that_are_submitted_without_a_container_for_their_messages_break_one() -> None:
    whole = deployment("eyes_on")
    rest = [each for each in whole.resources if "/messages-" not in each.id]
    told = broken_promises(EYES_ON, replace(whole, resources=rest))
    assert [each for each in told if "messages pass for []" in each]


def test_traffic_to_what_is_not_listed_breaks_one() -> None:
    whole = deployment("eyes_off")
    path = "properties.securityRules.0.properties.destinationAddressPrefix"
    broken = spoilt(whole, GROUP, "machines", path, "Internet")
    told = broken_promises(EYES_OFF, broken)
    assert any("lets traffic out to Internet" in each for each in told)


def test_a_missing_private_endpoint_breaks_one() -> None:
    whole = deployment("eyes_off")
    rest = [
        each
        for each in whole.resources
        if not (each.kind.endswith("/privateEndpoints") and each.name == "store")
    ]
    told = broken_promises(EYES_OFF, replace(whole, resources=rest))
    assert [each for each in told if "stheartnorth has no private endpoint" in each]


@pytest.mark.parametrize(
    ("name", "scope", "role", "principal", "found"),
    [
        ("eyes_off", "containers/images", BLOB_CONTRIBUTOR.id, "far", "images of another"),
        ("eyes_off", "containers/drop-north", BLOB_CONTRIBUTOR.id, "own", "more with its drop box"),
        ("eyes_on", "containers/messages-north", BLOB_CONTRIBUTOR.id, "own", "more with its mess"),
        ("eyes_on", "containers/messages-north", BLOB_READER.id, "far", "the messages of another"),
        ("eyes_off", "keys/north", KEY_USER.id, "far", "is used by"),
        ("eyes_off", f"{WORKSPACE}/mlw-heart-north", SUBMITTER.id, "coordinator", "submit jobs"),
        ("eyes_off", "containers/reports", BLOB_CONTRIBUTOR.id, "own", "coordinator's reports"),
        ("eyes_off", "containers/images", BLOB_CONTRIBUTOR.id, "viewers", "viewers may look"),
        ("minimal", "containers/images", BLOB_CONTRIBUTOR.id, "viewers", "more than look"),
        ("eyes_off", "containers/images", BLOB_CONTRIBUTOR.id, "own", "images of north, its mach"),
        ("confidential_vm", "containers/home", BLOB_READER.id, "coordinator", "a role on the home"),
        ("eyes_on", "containers/home", BLOB_READER.id, "viewers", "a role on the home of north"),
        ("eyes_off", "containers/home", BLOB_READER.id, "far", "the home of another"),
    ],
)
def test_a_role_too_many_breaks_one(
    name: str, scope: str, role: str, principal: str, found: str
) -> None:
    whole = deployment(name)
    (target, *_) = [each.id for each in whole.resources if each.id.endswith(scope)]
    of = {
        "own": "id-heart-north",
        "far": "id-heart-east-end",
        "coordinator": "id-heart-coordinator",
    }
    who: Any = "33333333-3333-3333-3333-333333333333"
    if principal in of:
        (identity,) = [each.id for each in whole.resources if each.id.endswith(f"/{of[principal]}")]
        who = Later(identity, "principalId")
    sample = whole.of_kind(ROLES)[0]
    definition = f"/subscriptions/x/providers/Microsoft.Authorization/roleDefinitions/{role}"
    more = replace(
        sample,
        id=f"{target}/providers/{ROLES}/more",
        body={"properties": {"roleDefinitionId": definition, "principalId": who}},
    )
    broken = replace(whole, resources=[*whole.resources, more])
    told = broken_promises(find_sandbox(name), broken)
    assert any(found in each for each in told), told


def test_every_value_of_every_control_is_said_to_become_something() -> None:
    for control in EYES_OFF.controls():
        for value in allowed_values(control).split(", "):
            assert becomes(control, value), (control, value)
    assert set(SETTINGS) == set(EYES_OFF.controls())


def test_what_the_cloud_cannot_hold_is_said_to_be_the_softwares() -> None:
    for control in ("transport", "statistics", "update_protection"):
        assert SOFTWARE in becomes(control, EYES_OFF.value(control))
    assert "the software's" in becomes("job_code", "measured")


def test_attested_keys_are_private_whatever_the_process() -> None:
    own = find_sandbox("confidential_vm").model_copy(update={"process": Process.OWN})
    assert cloud_controls(own).private
