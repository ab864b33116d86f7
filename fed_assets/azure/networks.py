"""A party's network: its subnets, what may enter and leave them, and the names in it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from fed_assets.azure.arm import Body, id_of, joined, resource, told

NETWORK = "Microsoft.Network/virtualNetworks"
GROUP = "Microsoft.Network/networkSecurityGroups"
NAT = "Microsoft.Network/natGateways"
ADDRESS = "Microsoft.Network/publicIPAddresses"
STORES_ALONE = "Microsoft.Network/serviceEndpointPolicies"
NETWORK_ID = id_of(NETWORK, "'network'")
NAT_ID = id_of(NAT, "'way-out'")
NAT_ADDRESS_ID = id_of(ADDRESS, "'way-out'")
POLICY_ID = id_of(STORES_ALONE, "'stores-alone'")
# The subnets of a network, each a /24 of its /22, in this order.
SUBNETS = ("machines", "endpoints", "gateways")
LAST = 4096  # the last priority that a rule can have: what no rule before it allows


@dataclass(frozen=True)
class Rule:
    """What may enter or leave a subnet.

    Attributes:
        name: what it is for.
        protocol: `Tcp` or `Udp`.
        ports: port numbers, or expressions in brackets.
        peer: where it comes from or goes to: a service tag of Azure's, addresses, or an expression
            in brackets.
    """

    name: str
    peer: str
    ports: tuple[str, ...] = ("443",)
    protocol: str = "Tcp"


def addresses_of(subnet: str) -> str:
    """Returns the expression of a subnet's addresses."""
    return f"cidrSubnet(parameters('network'), 24, {SUBNETS.index(subnet)})"


def subnet_id(subnet: str) -> str:
    """Returns the expression of a subnet's id."""
    return id_of(f"{NETWORK}/subnets", "'network'", f"'{subnet}'")


def of_region(service: str) -> str:
    """Returns the service tag of a service's addresses in the party's region."""
    return told(joined(f"'{service}.'", "parameters('location')"))


# What a cluster of Azure ML needs to be started, and to get its jobs and their image:
# learn.microsoft.com/azure/machine-learning/how-to-prevent-data-loss-exfiltration. Storage alone
# leads to what others own; the policy of the subnet takes that away.
OF_CLUSTERS = (
    Rule("azure-ml", "AzureMachineLearning", ("443", "8787", "18881")),
    Rule("azure-ml-messages", "AzureMachineLearning", ("5831",), "Udp"),
    Rule("batch", of_region("BatchNodeManagement")),
    Rule("sign-in", "AzureActiveDirectory"),
    Rule("resource-manager", "AzureResourceManager"),
    Rule("storage", of_region("Storage")),
    Rule("images", of_region("MicrosoftContainerRegistry")),
    Rule("images-by-front-door", "AzureFrontDoor.FirstParty"),
)
OF_ATTESTATION = (Rule("attestation", "AzureAttestation"),)
TO_OWN_ENDPOINTS = Rule(
    "own-endpoints",
    told(addresses_of("endpoints")),
    ("443", told("string(parameters('serverPort'))")),
)


def security_group(subnet: str, *, enter: Sequence[Rule] = (), leave: Sequence[Rule] = ()) -> Body:
    """Returns what may enter and leave a subnet; all that is not listed may not."""
    rules = [_rule(each, "Inbound", 100 + n) for n, each in enumerate(enter)]
    rules += [_rule(each, "Outbound", 100 + n) for n, each in enumerate(leave)]
    rules += [_nothing_else("Inbound"), _nothing_else("Outbound")]
    return resource(
        GROUP,
        f"'{subnet}'",
        location=told("parameters('location')"),
        properties={"securityRules": rules},
    )


def _rule(rule: Rule, direction: str, priority: int) -> Body:
    inbound = direction == "Inbound"
    return {
        "name": f"{'from' if inbound else 'to'}-{rule.name}",
        "properties": {
            "direction": direction,
            "access": "Allow",
            "priority": priority,
            "protocol": rule.protocol,
            "sourceAddressPrefix": rule.peer if inbound else "*",
            "sourcePortRange": "*",
            "destinationAddressPrefix": "*" if inbound else rule.peer,
            "destinationPortRanges": list(rule.ports),
        },
    }


def _nothing_else(direction: str) -> Body:
    return {
        "name": f"nothing-else-{direction.lower()}",
        "properties": {
            "direction": direction,
            "access": "Deny",
            "priority": LAST,
            "protocol": "*",
            "sourceAddressPrefix": "*",
            "sourcePortRange": "*",
            "destinationAddressPrefix": "*",
            "destinationPortRange": "*",
        },
    }


def network(
    subnets: Sequence[str], *, reach: Sequence[str] = (), way_out: bool, stores_alone: bool
) -> list[Body]:
    """Returns a network.

    Args:
        subnets: which of `SUBNETS` it has; the first holds the machines.
        reach: services that machines reach by their subnet's own address, such as
            `Microsoft.Storage`.
        way_out: whether machines without a public address reach what their rules list.
        stores_alone: whether of all storage they reach only what `stores-alone` names.
    """
    made = _way_out() if way_out else []
    after = [id_of(GROUP, f"'{each}'") for each in subnets]
    after += [NAT_ID] if way_out else []
    after += [POLICY_ID] if stores_alone else []
    bodies = [_subnet(each) for each in subnets]
    machines = bodies[0]["properties"]
    if reach:
        machines["serviceEndpoints"] = [{"service": each} for each in reach]
    if way_out:
        machines["natGateway"] = {"id": told(NAT_ID)}
    if stores_alone:
        machines["serviceEndpointPolicies"] = [{"id": told(POLICY_ID)}]
    made.append(
        resource(
            NETWORK,
            "'network'",
            after=after,
            location=told("parameters('location')"),
            properties={
                "addressSpace": {"addressPrefixes": [told("parameters('network')")]},
                "subnets": bodies,
            },
        )
    )
    return made


def _subnet(name: str) -> Body:
    return {
        "name": name,
        "properties": {
            "addressPrefix": told(addresses_of(name)),
            "networkSecurityGroup": {"id": told(id_of(GROUP, f"'{name}'"))},
            "defaultOutboundAccess": False,
            # So that the rules above hold for private endpoints too.
            "privateEndpointNetworkPolicies": "Enabled",
            "privateLinkServiceNetworkPolicies": "Disabled" if name == "gateways" else "Enabled",
        },
    }


def _way_out() -> list[Body]:
    return [
        public_address("'way-out'"),
        resource(
            NAT,
            "'way-out'",
            after=(NAT_ADDRESS_ID,),
            location=told("parameters('location')"),
            sku={"name": "Standard"},
            properties={"publicIpAddresses": [{"id": told(NAT_ADDRESS_ID)}]},
        ),
    ]


def public_address(name: str) -> Body:
    """Returns a fixed public address; `name` is an expression."""
    return resource(
        ADDRESS,
        name,
        location=told("parameters('location')"),
        sku={"name": "Standard"},
        properties={"publicIPAllocationMethod": "Static", "publicIPAddressVersion": "IPv4"},
    )


def stores_alone() -> Body:
    """Returns the policy by which machines reach of all storage their own group's alone.

    And what Azure ML itself keeps in storage of Microsoft's, which its alias names. The group is
    named and not its stores, because these may wait for the network that waits for this.
    """
    own = {"service": "Microsoft.Storage", "serviceResources": [told("resourceGroup().id")]}
    of_service = {"service": "Global", "serviceResources": ["/services/Azure/MachineLearning"]}
    return resource(
        STORES_ALONE,
        "'stores-alone'",
        location=told("parameters('location')"),
        properties={
            "serviceEndpointPolicyDefinitions": [
                {"name": "own-stores", "properties": own},
                {"name": "azure-ml", "properties": of_service},
            ]
        },
    )
