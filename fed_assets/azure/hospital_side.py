"""A hospital's part of the deployment, in a resource group of its own: one template for all."""

from __future__ import annotations

from fed_assets.azure.arm import Body, id_of, joined, told
from fed_assets.azure.cloud_controls import CloudControls
from fed_assets.azure.declared import declared_template
from fed_assets.azure.endpoints import Endpoint, endpoints, to_server
from fed_assets.azure.machines import machine
from fed_assets.azure.networks import (
    OF_ATTESTATION,
    OF_CLUSTERS,
    TO_OWN_ENDPOINTS,
    Rule,
    addresses_of,
    network,
    security_group,
    stores_alone,
    subnet_id,
)
from fed_assets.azure.roles import (
    BLOB_CONTRIBUTOR,
    BLOB_READER,
    DEFINITIONS,
    IMAGES_ROLE,
    MACHINE,
    SUBMITTER,
    assignment,
    definition_of,
    identity,
    images_role,
    to_group,
    to_identity,
)
from fed_assets.azure.stores import STORE_ID, account, container, container_id
from fed_assets.azure.vaults import VAULT_ID, keys, vault
from fed_assets.azure.workspaces import (
    OWN_STORE,
    OWN_VAULT,
    REGISTRY_ID,
    WORKSPACE_ID,
    cluster,
    datastore,
    workspace,
)

IMAGES = "images"
# What the hospital's software keeps there: sealed stores, the outbox log, the privacy ledger, keys.
HOME = "home"
_STORE = "variables('store')"
_IMAGES_ID = container_id(_STORE, f"'{IMAGES}'")
_HOME_ID = container_id(_STORE, f"'{HOME}'")
_OFFICERS = "parameters('officers')"


def hospital_template(cloud: CloudControls) -> Body:
    """Returns the template of one hospital's resource group."""
    rules = _subnet_rules(cloud)
    made = [identity("variables('machine')")]
    if cloud.vault:
        made.append(
            vault(
                "variables('vault')",
                closed=cloud.private,
                rules=rules,
                trusted=cloud.customer_keys,
            )
        )
        made += keys(cloud)
    made += account(
        _STORE,
        closed=cloud.private,
        rules=rules,
        addresses=_addresses(cloud) if rules else "",
        sealed=cloud.customer_keys,
    )
    made += _containers(cloud)
    if cloud.own_network:
        made += _network(cloud)
        made += endpoints(_endpoints(cloud))
        made += to_server("parameters('serverService')")
    if cloud.workspace:
        made += _workspace(cloud, rules)
    else:
        made += machine(
            "hospital", confidential=True, admin_key="parameters('adminKey')", behind={}
        )
    return declared_template(
        made,
        outputs={"principal": told(f"reference({MACHINE}).principalId")},
    )


def _subnet_rules(cloud: CloudControls) -> list[Body]:
    """Returns whom a hospital's stores and vaults answer where they answer their network alone."""
    if cloud.private or not cloud.own_network:
        return []
    return [{"id": told(subnet_id("machines"))}]


def _addresses(cloud: CloudControls) -> str:
    """Returns from which public addresses people reach a store that answers its network alone."""
    officers = "parameters('officerAddresses')"
    return joined("parameters('viewerAddresses')", officers) if cloud.viewed else officers


def _containers(cloud: CloudControls) -> list[Body]:
    """Returns what lies in the hospital's store, and who may do what there.

    A role holds for a whole container: were the home in that of the images, the machine could
    change these too.
    """
    keeping = id_of(DEFINITIONS, IMAGES_ROLE)
    made = [
        *(container(_STORE, f"'{name}'") for name in (IMAGES, HOME)),
        to_identity(BLOB_READER, MACHINE, _IMAGES_ID),
        to_identity(BLOB_CONTRIBUTOR, MACHINE, _HOME_ID),
        images_role(),
        assignment(
            keeping,
            _OFFICERS,
            _IMAGES_ID,
            named_by=(_IMAGES_ID, _OFFICERS, IMAGES_ROLE),
            kind="Group",
            after=(_IMAGES_ID, keeping),
        ),
    ]
    if cloud.viewed:
        made.append(to_group(BLOB_READER, "parameters('viewers')", _IMAGES_ID))
    return made


def _network(cloud: CloudControls) -> list[Body]:
    leave = [TO_OWN_ENDPOINTS]
    enter = []
    if cloud.workspace:
        leave += OF_CLUSTERS
        if not cloud.private:
            leave.append(Rule("vaults", "AzureKeyVault"))
            enter.append(Rule("azure-ml", "AzureMachineLearning", ("44224",)))
    else:
        leave += OF_ATTESTATION
    from_machines = Rule("machines", told(addresses_of("machines")), TO_OWN_ENDPOINTS.ports)
    reach = ["Microsoft.Storage"] if cloud.workspace else []
    reach += [] if cloud.private else ["Microsoft.KeyVault"]
    return [
        security_group("machines", enter=enter, leave=leave),
        security_group("endpoints", enter=[from_machines]),
        *([stores_alone()] if cloud.workspace else []),
        *network(
            ("machines", "endpoints"),
            reach=reach,
            way_out=cloud.private,
            stores_alone=cloud.workspace,
        ),
    ]


def _endpoints(cloud: CloudControls) -> list[Endpoint]:
    wanted = [Endpoint("drop-box", "parameters('dropStore')", "blob", ours=False)]
    if not cloud.private:
        return wanted
    wanted.append(Endpoint("store", STORE_ID, "blob"))
    if cloud.vault:
        wanted.append(Endpoint("vault", VAULT_ID, "vault"))
    if cloud.workspace:
        wanted += [
            Endpoint("workspace-store", OWN_STORE, "blob"),
            Endpoint("workspace-files", OWN_STORE, "file"),
            Endpoint("workspace-vault", OWN_VAULT, "vault"),
            Endpoint("registry", REGISTRY_ID, "registry"),
            Endpoint("workspace", WORKSPACE_ID, "amlworkspace"),
        ]
    return wanted


def _workspace(cloud: CloudControls, rules: list[Body]) -> list[Body]:
    made = workspace(closed=cloud.private, rules=rules, sealed=cloud.customer_keys, registry=True)
    made += cluster(inside=cloud.own_network, public_address=not cloud.private)
    made += [
        datastore(IMAGES, _STORE, IMAGES, _IMAGES_ID),
        datastore(HOME, _STORE, HOME, _HOME_ID),
        to_group(SUBMITTER, _OFFICERS, WORKSPACE_ID),
    ]
    if cloud.submitted:
        made.append(
            assignment(
                definition_of(SUBMITTER),
                "parameters('coordinator')",
                WORKSPACE_ID,
                named_by=(WORKSPACE_ID, "'coordinator'", f"'{SUBMITTER.id}'"),
                kind="ServicePrincipal",
                after=(WORKSPACE_ID,),
            )
        )
    return made
