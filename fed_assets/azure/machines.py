"""Virtual machines: the server's, and hospitals' where a machine is to be confidential."""

from __future__ import annotations

from fed_assets.azure.arm import Body, id_of, resource, told
from fed_assets.azure.networks import ADDRESS, subnet_id
from fed_assets.azure.roles import MACHINE, acting_as

MACHINES = "Microsoft.Compute/virtualMachines"
CARD = "Microsoft.Network/networkInterfaces"
BALANCER = "Microsoft.Network/loadBalancers"
SERVICE = "Microsoft.Network/privateLinkServices"
BALANCER_ID = id_of(BALANCER, "'server'")
SERVICE_ID = id_of(SERVICE, "'server'")
# By size, the family that the subscription's quota counts it in, and its vCPUs.
SIZES = {
    "Standard_D4ds_v5": ("standardDDSv5Family", 4),
    "Standard_D8ds_v5": ("standardDDSv5Family", 8),
    "Standard_NC4as_T4_v3": ("Standard NCASv3_T4 Family", 4),
    "Standard_DC4as_v5": ("standardDCASv5Family", 4),
    "Standard_DC8as_v5": ("standardDCASv5Family", 8),
}
CONFIDENTIAL_SIZES = tuple(size for size in SIZES if size.startswith("Standard_DC"))
PLAIN_SIZES = tuple(size for size in SIZES if size not in CONFIDENTIAL_SIZES)


def machine(name: str, *, confidential: bool, admin_key: str, behind: Body) -> list[Body]:
    """Returns a virtual machine and its network card.

    No command and no extension reaches it by way of Azure: who manages the resource group cannot
    run anything on it.

    Args:
        name: what it is called.
        confidential: whether its memory is encrypted by hardware, and its disk bound to it.
        admin_key: the expression of the public SSH key that Azure wants for every machine.
        behind: properties of the card's address, such as the pool of a load balancer, with the
            ids of what must be there first under `after`.
    """
    after = tuple(behind.get("after", ()))
    placed = {key: value for key, value in behind.items() if key != "after"}
    card = id_of(CARD, f"'{name}-card'")
    disk = {"securityProfile": {"securityEncryptionType": "DiskWithVMGuestState"}}
    security: Body = {
        "securityType": "ConfidentialVM" if confidential else "TrustedLaunch",
        "uefiSettings": {"secureBootEnabled": True, "vTpmEnabled": True},
    }
    if not confidential:
        security["encryptionAtHost"] = True
    return [
        resource(
            CARD,
            f"'{name}-card'",
            after=(id_of("Microsoft.Network/virtualNetworks", "'network'"), *after),
            location=told("parameters('location')"),
            properties={
                "enableIPForwarding": False,
                "ipConfigurations": [
                    {
                        "name": "only",
                        "properties": {
                            "privateIPAllocationMethod": "Dynamic",
                            "subnet": {"id": told(subnet_id("machines"))},
                            **placed,
                        },
                    }
                ],
            },
        ),
        resource(
            MACHINES,
            f"'{name}'",
            after=(card, MACHINE),
            location=told("parameters('location')"),
            identity=acting_as(MACHINE),
            properties={
                "hardwareProfile": {"vmSize": told("parameters('machineSize')")},
                "securityProfile": security,
                "storageProfile": {
                    "imageReference": {"id": told("parameters('machineImage')")},
                    "osDisk": {
                        "osType": "Linux",
                        "createOption": "FromImage",
                        "deleteOption": "Delete",
                        "managedDisk": {
                            "storageAccountType": "Premium_LRS",
                            **(disk if confidential else {}),
                        },
                    },
                },
                "osProfile": {
                    "computerName": name,
                    "adminUsername": "keeper",
                    "allowExtensionOperations": False,
                    "linuxConfiguration": {
                        "disablePasswordAuthentication": True,
                        "provisionVMAgent": False,
                        "ssh": {
                            "publicKeys": [
                                {
                                    "path": "/home/keeper/.ssh/authorized_keys",
                                    "keyData": told(admin_key),
                                }
                            ]
                        },
                    },
                },
                "networkProfile": {"networkInterfaces": [{"id": told(card)}]},
                "diagnosticsProfile": {"bootDiagnostics": {"enabled": False}},
            },
        ),
    ]


def with_public_address() -> tuple[Body, str]:
    """Returns what a card says of the address `server`, and the expression of that one's id."""
    address = id_of(ADDRESS, "'server'")
    return {"publicIPAddress": {"id": told(address)}, "after": (address,)}, address


def behind_balancer() -> Body:
    """Returns what a card says that `link_service` leads to."""
    pool = id_of(f"{BALANCER}/backendAddressPools", "'server'", "'server'")
    return {"loadBalancerBackendAddressPools": [{"id": told(pool)}], "after": (BALANCER_ID,)}


def link_service() -> list[Body]:
    """Returns the one way to the server: hospitals connect to it, and it to nobody.

    Networks are not joined, so that no route leads from the server, or from a hospital, into a
    hospital's network.
    """
    front = id_of(f"{BALANCER}/frontendIPConfigurations", "'server'", "'server'")
    pool = id_of(f"{BALANCER}/backendAddressPools", "'server'", "'server'")
    probe = id_of(f"{BALANCER}/probes", "'server'", "'server'")
    after = (id_of("Microsoft.Network/virtualNetworks", "'network'"),)
    port = told("parameters('serverPort')")
    return [
        resource(
            BALANCER,
            "'server'",
            after=after,
            location=told("parameters('location')"),
            sku={"name": "Standard"},
            properties={
                "frontendIPConfigurations": [
                    {
                        "name": "server",
                        "properties": {
                            "privateIPAllocationMethod": "Dynamic",
                            "subnet": {"id": told(subnet_id("gateways"))},
                        },
                    }
                ],
                "backendAddressPools": [{"name": "server"}],
                "probes": [
                    {
                        "name": "server",
                        "properties": {
                            "protocol": "Tcp",
                            "port": port,
                            "intervalInSeconds": 15,
                            "numberOfProbes": 2,
                        },
                    }
                ],
                "loadBalancingRules": [
                    {
                        "name": "server",
                        "properties": {
                            "frontendIPConfiguration": {"id": told(front)},
                            "backendAddressPool": {"id": told(pool)},
                            "probe": {"id": told(probe)},
                            "protocol": "Tcp",
                            "frontendPort": port,
                            "backendPort": port,
                            "idleTimeoutInMinutes": 30,
                            "enableTcpReset": True,
                        },
                    }
                ],
            },
        ),
        resource(
            SERVICE,
            "'server'",
            after=(*after, BALANCER_ID),
            location=told("parameters('location')"),
            properties={
                "loadBalancerFrontendIpConfigurations": [{"id": told(front)}],
                "ipConfigurations": [
                    {
                        "name": "only",
                        "properties": {
                            "primary": True,
                            "privateIPAllocationMethod": "Dynamic",
                            "privateIPAddressVersion": "IPv4",
                            "subnet": {"id": told(subnet_id("gateways"))},
                        },
                    }
                ],
                "visibility": {"subscriptions": [told("subscription().subscriptionId")]},
                "autoApproval": {"subscriptions": [told("subscription().subscriptionId")]},
                "enableProxyProtocol": False,
            },
        ),
    ]
