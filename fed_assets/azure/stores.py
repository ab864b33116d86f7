"""A party's storage accounts, and who may do what in their containers."""

from __future__ import annotations

from typing import Any

from fed_assets.azure.arm import Body, id_of, resource, told
from fed_assets.azure.networks import NETWORK_ID
from fed_assets.azure.roles import acting_as
from fed_assets.azure.vaults import KEY_OF_STORE, STORE_KEY, STORES_IDENTITY, STORES_MAY, VAULT_ID

ACCOUNT = "Microsoft.Storage/storageAccounts"
SERVICE = f"{ACCOUNT}/blobServices"
CONTAINER = f"{SERVICE}/containers"
STORE_ID = id_of(ACCOUNT, "variables('store')")
KEPT_DAYS = 14  # what was deleted by mistake can be had back for so long


def account(
    name: str,
    *,
    closed: bool,
    rules: list[Body],
    addresses: str = "",
    trusted: bool = False,
    sealed: bool = False,
) -> list[Body]:
    """Returns a storage account and its blob service.

    Args:
        name: the expression of its name.
        closed: whether it answers no public network.
        rules: the subnets that it answers besides; without any, and open, it answers everybody.
        addresses: the expression of the public addresses that it answers besides.
        trusted: whether services of Azure's, a workspace for one, may ask in spite of that.
        sealed: whether it is encrypted by the key `0-store` of the party's vault.
    """
    needed = [VAULT_ID, STORE_KEY, STORES_IDENTITY, STORES_MAY] if sealed else []
    needed += [NETWORK_ID] if rules else []
    body: dict[str, Any] = {
        "location": told("parameters('location')"),
        "kind": "StorageV2",
        "sku": {"name": "Standard_LRS"},
        "properties": {
            "accessTier": "Hot",
            "allowBlobPublicAccess": False,
            "allowCrossTenantReplication": False,
            "allowSharedKeyAccess": False,
            "allowedCopyScope": "PrivateLink" if closed else "AAD",
            "defaultToOAuthAuthentication": True,
            "encryption": _encryption(sealed),
            "isHnsEnabled": False,
            "isLocalUserEnabled": False,
            "isNfsV3Enabled": False,
            "isSftpEnabled": False,
            "minimumTlsVersion": "TLS1_2",
            "networkAcls": {
                "bypass": "AzureServices" if trusted else "None",
                "defaultAction": "Deny" if closed or rules else "Allow",
                "ipRules": told(addresses) if addresses else [],
                "virtualNetworkRules": [{**each, "action": "Allow"} for each in rules],
            },
            "publicNetworkAccess": "Disabled" if closed else "Enabled",
            "supportsHttpsTrafficOnly": True,
        },
    }
    if sealed:
        body["identity"] = acting_as(STORES_IDENTITY)
    own = id_of(ACCOUNT, name)
    kept = {"enabled": True, "days": KEPT_DAYS}
    return [
        resource(ACCOUNT, name, after=needed, **body),
        resource(
            SERVICE,
            name,
            "'default'",
            after=(own,),
            properties={"deleteRetentionPolicy": kept, "containerDeleteRetentionPolicy": kept},
        ),
    ]


def _encryption(sealed: bool) -> Body:
    services = {name: {"enabled": True, "keyType": "Account"} for name in ("blob", "file")}
    if not sealed:
        return {
            "keySource": "Microsoft.Storage",
            "requireInfrastructureEncryption": False,
            "services": services,
        }
    return {
        "keySource": "Microsoft.Keyvault",
        "identity": {"userAssignedIdentity": told(STORES_IDENTITY)},
        "keyvaultproperties": {
            "keyname": KEY_OF_STORE,
            "keyvaulturi": told(f"reference({VAULT_ID}).vaultUri"),
        },
        "requireInfrastructureEncryption": True,
        "services": services,
    }


def container(account_name: str, name: str, **more: Any) -> Body:
    """Returns a container that no key and no stranger opens; both names are expressions."""
    return resource(
        CONTAINER,
        account_name,
        "'default'",
        name,
        after=(id_of(ACCOUNT, account_name), id_of(SERVICE, account_name, "'default'")),
        properties={"publicAccess": "None"},
        **more,
    )


def container_id(account_name: str, name: str) -> str:
    """Returns the expression of a container's id."""
    return id_of(CONTAINER, account_name, "'default'", name)
