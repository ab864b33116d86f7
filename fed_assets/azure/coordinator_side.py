"""The coordinator's part: the server, what passes between it and hospitals, reports, a workspace.

What passes by blobs lies in its store, in a container for each hospital, and in no hospital's: a
hospital reaches that store anyway, and no way has to lead from here into a hospital's network.
"""

from __future__ import annotations

from fed_assets.azure.arm import Body, resource, told
from fed_assets.azure.cloud_controls import CloudControls
from fed_assets.azure.endpoints import Endpoint, endpoints
from fed_assets.azure.machines import behind_balancer, link_service, machine, with_public_address
from fed_assets.azure.networks import (
    OF_ATTESTATION,
    TO_OWN_ENDPOINTS,
    Rule,
    addresses_of,
    network,
    of_region,
    public_address,
    security_group,
)
from fed_assets.azure.roles import (
    BLOB_CONTRIBUTOR,
    BLOB_READER,
    MACHINE,
    SUBMITTER,
    drop_box_role,
    identity,
    messages_role,
    to_identity,
)
from fed_assets.azure.stores import ACCOUNT, STORE_ID, account, container, container_id
from fed_assets.azure.vaults import VAULT_ID, keys, vault
from fed_assets.azure.workspaces import OWN_STORE, OWN_VAULT, WORKSPACE_ID, workspace

SHARED_WITH_HOSPITALS = "global"
REPORTS = "reports"
DROP_BOX = "concat('drop-', parameters('hospitals')[copyIndex()].short)"
# Of jobs that the coordinator submits: their tasks, what goes with these, and answers.
MESSAGES = "concat('messages-', parameters('hospitals')[copyIndex()].short)"
KEPT_UPDATES_DAYS = 30
_EACH = {"name": "drop-boxes", "count": "[length(parameters('hospitals'))]"}
_PREFIXES = ("drop-", "messages-")  # of what lies there for a while alone
_PORT = (told("string(parameters('serverPort'))"),)


def coordinator_resources(cloud: CloudControls) -> list[Body]:
    """Returns the resources of the coordinator's own group."""
    closed = cloud.own_network
    made = [identity("variables('machine')"), drop_box_role()]
    if cloud.vault:
        made.append(
            vault("variables('vault')", closed=closed, rules=[], trusted=cloud.customer_keys)
        )
        made += keys(cloud)
    made += _stores(closed=closed, sealed=cloud.customer_keys)
    if cloud.submitted:
        made += _messages()
    made += workspace(closed=closed, rules=[], sealed=cloud.customer_keys, registry=False)
    made.append(to_identity(SUBMITTER, MACHINE, WORKSPACE_ID))
    made += _server(cloud)
    if closed:
        made += endpoints(_endpoints(cloud))
    return made


def _stores(*, closed: bool, sealed: bool) -> list[Body]:
    """Returns the store of drop boxes, global models and reports, and what the server may there."""
    store = "variables('store')"
    box = container_id(store, DROP_BOX)
    reading = to_identity(BLOB_READER, MACHINE, box)
    return [
        *account(store, closed=closed, rules=[], sealed=sealed),
        *(container(store, f"'{name}'") for name in (SHARED_WITH_HOSPITALS, REPORTS)),
        container(store, DROP_BOX, copy=_EACH),
        *(
            to_identity(BLOB_CONTRIBUTOR, MACHINE, container_id(store, f"'{name}'"))
            for name in (SHARED_WITH_HOSPITALS, REPORTS)
        ),
        {**reading, "copy": {**_EACH, "name": "drop-box-readers"}},
        resource(
            f"{ACCOUNT}/managementPolicies",
            store,
            "'default'",
            after=(STORE_ID,),
            properties={
                "policy": {
                    "rules": [
                        {
                            "name": "updates-do-not-lie-about",
                            "enabled": True,
                            "type": "Lifecycle",
                            "definition": {
                                "actions": {
                                    "baseBlob": {
                                        "delete": {
                                            "daysAfterModificationGreaterThan": KEPT_UPDATES_DAYS
                                        }
                                    }
                                },
                                "filters": {
                                    "blobTypes": ["blockBlob"],
                                    "prefixMatch": list(_PREFIXES),
                                },
                            },
                        }
                    ]
                }
            },
        ),
    ]


def _messages() -> list[Body]:
    """Returns the containers of jobs' messages, in which the coordinator puts, reads and clears."""
    own = to_identity(BLOB_CONTRIBUTOR, MACHINE, container_id("variables('store')", MESSAGES))
    return [
        messages_role(),
        container("variables('store')", MESSAGES, copy={**_EACH, "name": "messages"}),
        {**own, "copy": {**_EACH, "name": "message-writers"}},
    ]


def _server(cloud: CloudControls) -> list[Body]:
    enter, leave = _enter(cloud), _leave(cloud)
    subnets = ("machines", "endpoints", "gateways") if cloud.own_network else ("machines",)
    made = [security_group("machines", enter=enter, leave=leave)]
    if cloud.own_network:
        from_machines = Rule("machines", told(addresses_of("machines")))
        to_machines = Rule("server", told(addresses_of("machines")), _PORT)
        made.append(security_group("endpoints", enter=[from_machines]))
        made.append(security_group("gateways", leave=[to_machines]))
        made += network(subnets, way_out=len(leave) > 1, stores_alone=False)
        made += link_service()
        behind = behind_balancer()
    else:
        made += network(subnets, way_out=False, stores_alone=False)
        made.append(public_address("'server'"))
        behind, _ = with_public_address()
    return [
        *made,
        *machine(
            "server",
            confidential=cloud.confidential,
            admin_key="parameters('adminKey')",
            behind=behind,
        ),
    ]


def _enter(cloud: CloudControls) -> list[Rule]:
    if not cloud.own_network:
        return [Rule("hospitals", "AzureCloud", _PORT)]  # wherever their nodes happen to be
    return [
        Rule("gateways", told(addresses_of("gateways")), _PORT),
        Rule("probes", "AzureLoadBalancer", _PORT),
    ]


def _leave(cloud: CloudControls) -> list[Rule]:
    rules = [TO_OWN_ENDPOINTS] if cloud.own_network else []
    if not cloud.own_network:
        rules += [
            Rule("storage", of_region("Storage")),
            Rule("vaults", "AzureKeyVault"),
            Rule("azure-ml", "AzureMachineLearning"),
        ]
    elif cloud.submitted:
        rules.append(Rule("azure-ml", "AzureMachineLearning"))
    if cloud.submitted:
        rules.append(Rule("resource-manager", "AzureResourceManager"))
    return [*rules, *(OF_ATTESTATION if cloud.confidential else ())]


def _endpoints(cloud: CloudControls) -> list[Endpoint]:
    wanted = [Endpoint("store", STORE_ID, "blob")]
    if cloud.vault:
        wanted.append(Endpoint("vault", VAULT_ID, "vault"))
    return [
        *wanted,
        Endpoint("workspace-store", OWN_STORE, "blob"),
        Endpoint("workspace-files", OWN_STORE, "file"),
        Endpoint("workspace-vault", OWN_VAULT, "vault"),
        Endpoint("workspace", WORKSPACE_ID, "amlworkspace"),
    ]
