"""A party's vault, and in it the keys that nobody else may use."""

from __future__ import annotations

import json

from fed_assets.azure.arm import Body, id_of, joined, resource, told
from fed_assets.azure.cloud_controls import CloudControls
from fed_assets.azure.networks import NETWORK_ID
from fed_assets.azure.roles import (
    IDENTITY,
    KEY_FOR_STORES,
    KEY_RELEASE,
    KEY_USER,
    MACHINE,
    assigned_to_identity,
    identity,
    to_identity,
)

VAULT = "Microsoft.KeyVault/vaults"
KEY = "Microsoft.KeyVault/vaults/keys"
VAULT_ID = id_of(VAULT, "variables('vault')")
SEALING_KEY = id_of(KEY, "variables('vault')", "variables('key')")
KEY_OF_STORE = "0-store"  # the other key bears a hospital's id, which begins with a letter
STORE_KEY = id_of(KEY, "variables('vault')", f"'{KEY_OF_STORE}'")
STORES_IDENTITY = id_of(IDENTITY, "variables('storeIdentity')")
STORES_MAY = assigned_to_identity(KEY_FOR_STORES, STORES_IDENTITY, STORE_KEY)
# A vault that was deleted keeps its name for so long, and nothing takes it back from there.
RETENTION_DAYS = 90
BITS = 3072


def vault(name: str, *, closed: bool, rules: list[Body], trusted: bool) -> Body:
    """Returns a vault.

    Args:
        name: the expression of its name.
        closed: whether it answers no public network.
        rules: the subnets that it answers besides; without any, and open, it answers everybody.
        trusted: whether services of Azure's that its keys are for may ask in spite of that.
    """
    return resource(
        VAULT,
        name,
        after=(NETWORK_ID,) if rules else (),
        location=told("parameters('location')"),
        properties={
            "tenantId": told("subscription().tenantId"),
            "sku": {"family": "A", "name": "premium"},
            "enableRbacAuthorization": True,
            "enableSoftDelete": True,
            "softDeleteRetentionInDays": RETENTION_DAYS,
            "enablePurgeProtection": True,
            "enabledForDeployment": False,
            "enabledForDiskEncryption": False,
            "enabledForTemplateDeployment": False,
            "publicNetworkAccess": "Disabled" if closed else "Enabled",
            "networkAcls": {
                "bypass": "AzureServices" if trusted else "None",
                "defaultAction": "Deny" if closed or rules else "Allow",
                "ipRules": [],
                "virtualNetworkRules": rules,
            },
        },
    )


def keys(cloud: CloudControls) -> list[Body]:
    """Returns the keys of a party's vault, and who may use which."""
    made: list[Body] = []
    if cloud.key and cloud.confidential:
        made += [_released_key(), to_identity(KEY_RELEASE, MACHINE, SEALING_KEY)]
    elif cloud.key:
        made += [_wrapping_key("variables('key')"), to_identity(KEY_USER, MACHINE, SEALING_KEY)]
    if cloud.customer_keys:
        made += [
            _wrapping_key(f"'{KEY_OF_STORE}'"),
            identity("variables('storeIdentity')"),
            to_identity(KEY_FOR_STORES, STORES_IDENTITY, STORE_KEY),
        ]
    return made


def _wrapping_key(name: str) -> Body:
    return resource(
        KEY,
        "variables('vault')",
        name,
        after=(VAULT_ID,),
        properties={
            "kty": "RSA-HSM",
            "keySize": BITS,
            "keyOps": ["wrapKey", "unwrapKey"],
            "attributes": {"enabled": True, "exportable": False},
        },
    )


def _released_key() -> Body:
    """Returns a key that leaves the vault for a machine whose evidence meets the policy alone."""
    return resource(
        KEY,
        "variables('vault')",
        "variables('key')",
        after=(VAULT_ID,),
        properties={
            "kty": "RSA-HSM",
            "keySize": BITS,
            "keyOps": ["wrapKey", "unwrapKey"],
            "attributes": {"enabled": True, "exportable": True},
            "release_policy": {
                "contentType": "application/json; charset=utf-8",
                "data": told(f"base64({_release_policy()})"),
            },
        },
    )


def _release_policy() -> str:
    """Returns the expression of the policy's text, in Azure's grammar of secure key release."""
    policy = json.dumps(
        {
            "version": "1.0.0",
            "anyOf": [
                {
                    "authority": "AUTHORITY",
                    "allOf": [
                        {
                            "claim": "x-ms-isolation-tee.x-ms-attestation-type",
                            "equals": "sevsnpvm",
                        },
                        {
                            "claim": "x-ms-isolation-tee.x-ms-compliance-status",
                            "equals": "azure-compliant-cvm",
                        },
                    ],
                }
            ],
        },
        separators=(",", ":"),
    )
    before, after = policy.split("AUTHORITY")
    return joined(f"'{before}'", "parameters('attestation')", f"'{after}'")
