"""Private endpoints: what a party's network reaches by an address of its own, and by which name."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from fed_assets.azure.arm import Body, id_of, resource, told
from fed_assets.azure.networks import NETWORK_ID, subnet_id

ENDPOINT = "Microsoft.Network/privateEndpoints"
ZONE = "Microsoft.Network/privateDnsZones"
# By what a private endpoint leads to, the zones in which its name stands.
ZONES = {
    "blob": ("privatelink.blob.core.windows.net",),
    "file": ("privatelink.file.core.windows.net",),
    "vault": ("privatelink.vaultcore.azure.net",),
    "registry": ("privatelink.azurecr.io",),
    "amlworkspace": ("privatelink.api.azureml.ms", "privatelink.notebooks.azure.net"),
}
SERVER_ZONE = "fed-assets.internal"
SERVER = "server"


@dataclass(frozen=True)
class Endpoint:
    """One private endpoint.

    Attributes:
        name: what it is called by in the party's network.
        target: the expression of the id of what it leads to.
        kind: what of it: one of `ZONES`.
        ours: whether the target stands in the same template, and so must be there first.
    """

    name: str
    target: str
    kind: str
    ours: bool = True


def endpoints(wanted: Iterable[Endpoint]) -> list[Body]:
    """Returns private endpoints and the zones that name them.

    Zones are the party's own: in one that several networks share, the last endpoint of a store
    would take the name from all others.
    """
    chosen = list(wanted)
    zones = dict.fromkeys(zone for each in chosen for zone in ZONES[each.kind])
    made = [body for zone in zones for body in _zone(zone)]
    for each in chosen:
        own = id_of(ENDPOINT, f"'{each.name}'")
        made.append(_endpoint(each.name, each.target, [each.kind], ours=each.ours))
        made.append(
            resource(
                f"{ENDPOINT}/privateDnsZoneGroups",
                f"'{each.name}'",
                "'default'",
                after=(own, *(id_of(ZONE, f"'{zone}'") for zone in ZONES[each.kind])),
                properties={
                    "privateDnsZoneConfigs": [
                        {
                            "name": zone.replace(".", "-"),
                            "properties": {"privateDnsZoneId": told(id_of(ZONE, f"'{zone}'"))},
                        }
                        for zone in ZONES[each.kind]
                    ]
                },
            )
        )
    return made


def to_server(service: str) -> list[Body]:
    """Returns the endpoint that leads to the server, which is `server.fed-assets.internal` here.

    Args:
        service: the expression of the id of the private link service that it listens behind.
    """
    card = id_of("Microsoft.Network/networkInterfaces", f"'{SERVER}'")
    address = f"reference({card}, '2023-11-01').ipConfigurations[0].properties.privateIPAddress"
    return [
        *_zone(SERVER_ZONE),
        _endpoint(SERVER, service, [], ours=False),
        resource(
            f"{ZONE}/A",
            f"'{SERVER_ZONE}'",
            f"'{SERVER}'",
            after=(id_of(ZONE, f"'{SERVER_ZONE}'"), id_of(ENDPOINT, f"'{SERVER}'")),
            properties={"ttl": 300, "aRecords": [{"ipv4Address": told(address)}]},
        ),
    ]


def _endpoint(name: str, target: str, kinds: list[str], *, ours: bool) -> Body:
    connection = {"privateLinkServiceId": told(target), "groupIds": kinds}
    return resource(
        ENDPOINT,
        f"'{name}'",
        after=(NETWORK_ID, *((target,) if ours else ())),
        location=told("parameters('location')"),
        properties={
            "subnet": {"id": told(subnet_id("endpoints"))},
            "customNetworkInterfaceName": name,
            "privateLinkServiceConnections": [{"name": name, "properties": connection}],
        },
    )


def _zone(zone: str) -> list[Body]:
    return [
        resource(ZONE, f"'{zone}'", location="global", properties={}),
        resource(
            f"{ZONE}/virtualNetworkLinks",
            f"'{zone}'",
            "'network'",
            after=(id_of(ZONE, f"'{zone}'"), NETWORK_ID),
            location="global",
            properties={
                "registrationEnabled": False,
                "virtualNetwork": {"id": told(NETWORK_ID)},
            },
        ),
    ]
