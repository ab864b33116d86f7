"""A party's Azure ML workspace, what it keeps for itself, and the cluster that runs its jobs."""

from __future__ import annotations

from fed_assets.azure.arm import Body, id_of, resource, told
from fed_assets.azure.networks import subnet_id
from fed_assets.azure.roles import (
    BLOB_CONTRIBUTOR,
    CONTRIBUTOR,
    FILE_CONTRIBUTOR,
    IDENTITY,
    IMAGE_PULL,
    MACHINE,
    VAULT_ADMINISTRATOR,
    acting_as,
    identity,
    to_identity,
)
from fed_assets.azure.stores import ACCOUNT, account
from fed_assets.azure.vaults import VAULT, vault

WORKSPACE = "Microsoft.MachineLearningServices/workspaces"
REGISTRY = "Microsoft.ContainerRegistry/registries"
INSIGHTS = "Microsoft.Insights/components"
LOGS = "Microsoft.OperationalInsights/workspaces"
WORKSPACE_ID = id_of(WORKSPACE, "variables('workspace')")
OWN_STORE = id_of(ACCOUNT, "variables('workspaceStore')")
OWN_VAULT = id_of(VAULT, "variables('workspaceVault')")
REGISTRY_ID = id_of(REGISTRY, "variables('registry')")
INSIGHTS_ID = id_of(INSIGHTS, "'insights'")
LOGS_ID = id_of(LOGS, "'logs'")
ITS_IDENTITY = id_of(IDENTITY, "variables('workspaceIdentity')")
DATASTORE = f"{WORKSPACE}/datastores"
CLUSTER = "machines"


def workspace(*, closed: bool, rules: list[Body], sealed: bool, registry: bool) -> list[Body]:
    """Returns a workspace with its own store, vault, telemetry and, if wanted, image registry.

    It acts by an identity of its own, which has rights on these and on nothing else: Azure's
    default would let it manage the whole resource group, the party's images among it.

    Args:
        closed: whether neither it nor what it keeps answers a public network.
        rules: the subnets that its store and vault answer besides.
        sealed: whether its store is encrypted by the party's key.
        registry: whether it has a registry of images.
    """
    public = "Disabled" if closed else "Enabled"
    kept = [OWN_STORE, OWN_VAULT, INSIGHTS_ID, *([REGISTRY_ID] if registry else [])]
    rights = [
        *(to_identity(CONTRIBUTOR, ITS_IDENTITY, each) for each in kept),
        to_identity(BLOB_CONTRIBUTOR, ITS_IDENTITY, OWN_STORE),
        to_identity(FILE_CONTRIBUTOR, ITS_IDENTITY, OWN_STORE),
        to_identity(VAULT_ADMINISTRATOR, ITS_IDENTITY, OWN_VAULT),
    ]
    properties = {
        "friendlyName": told("variables('workspace')"),
        "storageAccount": told(OWN_STORE),
        "keyVault": told(OWN_VAULT),
        "applicationInsights": told(INSIGHTS_ID),
        **({"containerRegistry": told(REGISTRY_ID)} if registry else {}),
        **({"imageBuildCompute": CLUSTER} if registry and closed else {}),
        "primaryUserAssignedIdentity": told(ITS_IDENTITY),
        "systemDatastoresAuthMode": "Identity",
        "publicNetworkAccess": public,
        "hbiWorkspace": True,
        "v1LegacyMode": False,
    }
    return [
        identity("variables('workspaceIdentity')"),
        *account(
            "variables('workspaceStore')", closed=closed, rules=rules, trusted=True, sealed=sealed
        ),
        vault("variables('workspaceVault')", closed=closed, rules=rules, trusted=True),
        *_telemetry(public),
        *([_registry(closed=closed)] if registry else []),
        *rights,
        resource(
            WORKSPACE,
            "variables('workspace')",
            after=(*kept, ITS_IDENTITY, *(_id_of_right(each) for each in rights)),
            location=told("parameters('location')"),
            identity=acting_as(ITS_IDENTITY),
            sku={"name": "Basic", "tier": "Basic"},
            properties=properties,
        ),
    ]


def _id_of_right(right: Body) -> str:
    scope, name = (right[part][1:-1] for part in ("scope", "name"))
    return f"extensionResourceId({scope}, '{right['type']}', {name})"


def _telemetry(public: str) -> list[Body]:
    return [
        resource(
            LOGS,
            "'logs'",
            location=told("parameters('location')"),
            properties={
                "sku": {"name": "PerGB2018"},
                "retentionInDays": 90,
                "publicNetworkAccessForIngestion": public,
                "publicNetworkAccessForQuery": public,
                "features": {"disableLocalAuth": True},
            },
        ),
        resource(
            INSIGHTS,
            "'insights'",
            after=(LOGS_ID,),
            location=told("parameters('location')"),
            kind="web",
            properties={
                "Application_Type": "web",
                "WorkspaceResourceId": told(LOGS_ID),
                "DisableLocalAuth": True,
                "publicNetworkAccessForIngestion": public,
                "publicNetworkAccessForQuery": public,
            },
        ),
    ]


def _registry(*, closed: bool) -> Body:
    # Premium alone can be closed to public networks.
    return resource(
        REGISTRY,
        "variables('registry')",
        location=told("parameters('location')"),
        sku={"name": "Premium" if closed else "Standard"},
        properties={
            "adminUserEnabled": False,
            "anonymousPullEnabled": False,
            "dataEndpointEnabled": False,
            "publicNetworkAccess": "Disabled" if closed else "Enabled",
            **({"networkRuleSet": {"defaultAction": "Deny"}} if closed else {}),
            "networkRuleBypassOptions": "AzureServices" if closed else "None",
        },
    )


def cluster(*, inside: bool, public_address: bool) -> list[Body]:
    """Returns the cluster `machines` of a workspace, and what its identity may do there.

    Args:
        inside: whether its nodes stand in the party's network.
        public_address: whether they have public addresses.
    """
    subnet = {"subnet": {"id": told(subnet_id("machines"))}} if inside else {}
    network = (id_of("Microsoft.Network/virtualNetworks", "'network'"),) if inside else ()
    return [
        to_identity(BLOB_CONTRIBUTOR, MACHINE, OWN_STORE),
        to_identity(IMAGE_PULL, MACHINE, REGISTRY_ID),
        resource(
            f"{WORKSPACE}/computes",
            "variables('workspace')",
            f"'{CLUSTER}'",
            after=(WORKSPACE_ID, MACHINE, *network),
            location=told("parameters('location')"),
            identity=acting_as(MACHINE),
            properties={
                "computeType": "AmlCompute",
                "disableLocalAuth": True,
                "properties": {
                    "osType": "Linux",
                    "vmSize": told("parameters('machineSize')"),
                    "vmPriority": "Dedicated",
                    "scaleSettings": {
                        "minNodeCount": 0,
                        "maxNodeCount": 1,
                        "nodeIdleTimeBeforeScaleDown": "PT300S",
                    },
                    "enableNodePublicIp": public_address,
                    "isolatedNetwork": False,
                    "remoteLoginPortPublicAccess": "Disabled",
                    **subnet,
                },
            },
        ),
    ]


def datastore(name: str, store: str, container: str, after: str) -> Body:
    """Returns a datastore without credentials: jobs reach it by their machine's identity.

    Args:
        name: what it is called.
        store: the expression of the storage account's name.
        container: the name of the container.
        after: the expression of the container's id.
    """
    return resource(
        DATASTORE,
        "variables('workspace')",
        f"'{name}'",
        after=(WORKSPACE_ID, after),
        properties={
            "datastoreType": "AzureBlob",
            "accountName": told(store),
            "containerName": container,
            "credentials": {"credentialsType": "None"},
            "endpoint": "core.windows.net",
            "protocol": "https",
            "serviceDataAccessAuthIdentity": "None",
        },
    )
