"""Which names Azure takes: their length, their characters, and among whom they are taken once.

learn.microsoft.com/azure/azure-resource-manager/management/resource-name-rules
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from fed_assets.azure.deployment import Finding, Resource


@dataclass(frozen=True)
class NameRule:
    """What the last part of a resource's name may be.

    Attributes:
        least: the fewest characters.
        most: the most.
        pattern: what all of it matches.
        everywhere: whether nobody else in all of Azure may have it.
    """

    least: int
    most: int
    pattern: str
    everywhere: bool = False

    def against(self, name: str) -> str:
        """Returns what speaks against a name; nothing, if nothing does.

        >>> NameRule(3, 24, "[a-z0-9]+").against("north_store")
        'north_store does not match [a-z0-9]+'
        """
        if not self.least <= len(name) <= self.most:
            return f"{name} has {len(name)} characters, and {self.least} to {self.most} are allowed"
        if not re.fullmatch(self.pattern, name):
            return f"{name} does not match {self.pattern}"
        return ""


_GUID = NameRule(36, 36, r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
# Begins with a letter or a digit, and ends with one or with `_`.
_NETWORK = r"[A-Za-z0-9]([\w.-]*\w)?"
_VAULT = r"[A-Za-z](?!.*--)[A-Za-z0-9-]*[A-Za-z0-9]"
_ZONE = r"([A-Za-z0-9_-]+\.)+[A-Za-z0-9_-]+"
RULES: Mapping[str, NameRule] = {
    "Microsoft.Authorization/roleAssignments": _GUID,
    "Microsoft.Authorization/roleDefinitions": _GUID,
    "Microsoft.Compute/virtualMachines": NameRule(1, 64, _NETWORK),
    "Microsoft.ContainerRegistry/registries": NameRule(5, 50, "[A-Za-z0-9]+", everywhere=True),
    "Microsoft.Insights/components": NameRule(1, 260, r"[\w().-]*[\w()-]"),
    "Microsoft.KeyVault/vaults": NameRule(3, 24, _VAULT, everywhere=True),
    "Microsoft.KeyVault/vaults/keys": NameRule(1, 127, "[A-Za-z0-9-]+"),
    "Microsoft.MachineLearningServices/workspaces": NameRule(3, 33, r"[A-Za-z0-9][\w-]*"),
    "Microsoft.MachineLearningServices/workspaces/computes": NameRule(
        2, 16, r"[A-Za-z][A-Za-z0-9-]*[A-Za-z0-9]"
    ),
    "Microsoft.MachineLearningServices/workspaces/datastores": NameRule(1, 255, r"\w+"),
    "Microsoft.ManagedIdentity/userAssignedIdentities": NameRule(3, 128, r"[A-Za-z0-9][\w-]*"),
    "Microsoft.Network/loadBalancers": NameRule(1, 80, _NETWORK),
    "Microsoft.Network/natGateways": NameRule(1, 80, _NETWORK),
    "Microsoft.Network/networkInterfaces": NameRule(1, 80, _NETWORK),
    "Microsoft.Network/networkSecurityGroups": NameRule(1, 80, _NETWORK),
    "Microsoft.Network/privateDnsZones": NameRule(1, 63, _ZONE),
    "Microsoft.Network/privateDnsZones/A": NameRule(1, 63, r"[\w-]+"),
    "Microsoft.Network/privateDnsZones/virtualNetworkLinks": NameRule(1, 80, _NETWORK),
    "Microsoft.Network/privateEndpoints": NameRule(2, 64, _NETWORK),
    "Microsoft.Network/privateEndpoints/privateDnsZoneGroups": NameRule(1, 80, _NETWORK),
    "Microsoft.Network/privateLinkServices": NameRule(1, 80, _NETWORK),
    "Microsoft.Network/publicIPAddresses": NameRule(1, 80, _NETWORK),
    "Microsoft.Network/serviceEndpointPolicies": NameRule(1, 80, _NETWORK),
    "Microsoft.Network/virtualNetworks": NameRule(2, 64, _NETWORK),
    "Microsoft.OperationalInsights/workspaces": NameRule(4, 63, r"[A-Za-z0-9][A-Za-z0-9-]*"),
    "Microsoft.Resources/deployments": NameRule(1, 64, r"[\w().-]+"),
    "Microsoft.Storage/storageAccounts": NameRule(3, 24, "[a-z0-9]+", everywhere=True),
    "Microsoft.Storage/storageAccounts/blobServices": NameRule(7, 7, "default"),
    "Microsoft.Storage/storageAccounts/blobServices/containers": NameRule(
        3, 63, r"[a-z0-9](?!.*--)[a-z0-9-]*[a-z0-9]"
    ),
    "Microsoft.Storage/storageAccounts/managementPolicies": NameRule(7, 7, "default"),
}


def broken_names(resources: Iterable[Resource]) -> list[Finding]:
    """Returns every name that Azure would not take, and every one that two resources have."""
    found = []
    taken: dict[tuple[str, str], list[Resource]] = defaultdict(list)
    for each in resources:
        rule = RULES.get(each.kind)
        own = each.name.rpartition("/")[2]
        where = f"{each.template} {each.kind} {each.name}"
        if rule is None:
            found.append(Finding(where, "nothing is known here of names of this type"))
            continue
        if said := rule.against(own):
            found.append(Finding(where, said))
        among = own if rule.everywhere else each.id
        taken[each.kind, among.lower()].append(each)
    for (kind, name), sharing in taken.items():
        if len(sharing) > 1:
            where = ", ".join(dict.fromkeys(each.template for each in sharing))
            what = f"{len(sharing)} of {kind} would be called {name}"
            found.append(Finding(where, what))
    return found
