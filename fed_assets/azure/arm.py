"""The words of Azure's template language (ARM), for those who write templates here.

An expression is written bare while it is a part of another one, such as `variables('vault')`, and
gets its brackets by `told` where it stands as a value.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

SCHEMA = "https://schema.management.azure.com/schemas/2019-04-01/deploymentTemplate.json#"
CONTENT_VERSION = "1.0.0.0"

# One version of its interface for each type, so that two resources never mean different things.
API_VERSIONS = {
    "Microsoft.Authorization/roleAssignments": "2022-04-01",
    "Microsoft.Authorization/roleDefinitions": "2022-04-01",
    "Microsoft.Compute/virtualMachines": "2023-09-01",
    "Microsoft.ContainerRegistry/registries": "2023-07-01",
    "Microsoft.Insights/components": "2020-02-02",
    "Microsoft.KeyVault/vaults": "2022-07-01",
    "Microsoft.KeyVault/vaults/keys": "2022-07-01",
    "Microsoft.MachineLearningServices/workspaces": "2024-10-01",
    "Microsoft.MachineLearningServices/workspaces/computes": "2024-10-01",
    "Microsoft.MachineLearningServices/workspaces/datastores": "2024-10-01",
    "Microsoft.ManagedIdentity/userAssignedIdentities": "2023-01-31",
    "Microsoft.Network/loadBalancers": "2023-11-01",
    "Microsoft.Network/natGateways": "2023-11-01",
    "Microsoft.Network/networkInterfaces": "2023-11-01",
    "Microsoft.Network/networkSecurityGroups": "2023-11-01",
    "Microsoft.Network/privateDnsZones": "2020-06-01",
    "Microsoft.Network/privateDnsZones/A": "2020-06-01",
    "Microsoft.Network/privateDnsZones/virtualNetworkLinks": "2020-06-01",
    "Microsoft.Network/privateEndpoints": "2023-11-01",
    "Microsoft.Network/privateEndpoints/privateDnsZoneGroups": "2023-11-01",
    "Microsoft.Network/privateLinkServices": "2023-11-01",
    "Microsoft.Network/publicIPAddresses": "2023-11-01",
    "Microsoft.Network/serviceEndpointPolicies": "2023-11-01",
    "Microsoft.Network/virtualNetworks": "2023-11-01",
    "Microsoft.OperationalInsights/workspaces": "2022-10-01",
    "Microsoft.Resources/deployments": "2022-09-01",
    "Microsoft.Storage/storageAccounts": "2023-05-01",
    "Microsoft.Storage/storageAccounts/blobServices": "2023-05-01",
    "Microsoft.Storage/storageAccounts/blobServices/containers": "2023-05-01",
    "Microsoft.Storage/storageAccounts/managementPolicies": "2023-05-01",
}

Body = dict[str, Any]


def told(expression: str) -> str:
    """Returns an expression as a value of the template."""
    return f"[{expression}]"


def id_of(kind: str, *names: str) -> str:
    """Returns the expression of a resource's id; names are expressions too.

    >>> id_of("Microsoft.KeyVault/vaults", "variables('vault')")
    "resourceId('Microsoft.KeyVault/vaults', variables('vault'))"
    """
    return f"resourceId('{kind}', {', '.join(names)})"


def joined(*parts: str) -> str:
    """Returns the expression of several texts, or several lists, in a row."""
    return f"concat({', '.join(parts)})"


def resource(
    kind: str, /, *names: str, after: Iterable[str] = (), scope: str = "", **body: Any
) -> Body:
    """Returns one resource of a template.

    Args:
        kind: its type.
        names: the expressions of its name, and before it of its parents'.
        after: expressions of the ids of what must be there first.
        scope: the expression of the id of what an extension extends.
        body: what else it says, such as `properties`.
    """
    name = names[0] if len(names) == 1 else joined(*_with_slashes(names))
    extended = {"scope": told(scope)} if scope else {}
    needed = list(dict.fromkeys(after))
    waits = {"dependsOn": [told(each) for each in needed]} if needed else {}
    literal = name.startswith("'") and "'" not in name[1:-1]
    return {
        "type": kind,
        "apiVersion": API_VERSIONS[kind],
        **extended,
        "name": name.strip("'") if literal else told(name),
        **waits,
        **body,
    }


def _with_slashes(names: tuple[str, ...]) -> list[str]:
    parts: list[str] = []
    for name in names:
        parts += ["'/'", name] if parts else [name]
    return parts


def template(
    resources: Iterable[Body],
    *,
    parameters: Mapping[str, Any],
    variables: Mapping[str, Any],
    outputs: Mapping[str, Any],
) -> Body:
    """Returns a whole template."""
    return {
        "$schema": SCHEMA,
        "contentVersion": CONTENT_VERSION,
        "parameters": dict(parameters),
        "variables": dict(variables),
        "resources": list(resources),
        "outputs": dict(outputs),
    }
