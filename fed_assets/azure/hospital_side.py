"""A hospital's part of the deployment, in a resource group of its own: one template for all."""

from __future__ import annotations

from fed_assets.azure.arm import Body, told
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
    MACHINE,
    SUBMITTER,
    assignment,
    definition_of,
    identity,
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


def hospital_template(cloud: CloudControls) -> Body:
    """Returns the template of one hospital's resource group."""
    rules = _subnet_rules(cloud)
    images = container_id("variables('store')", f"'{IMAGES}'")
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
        "variables('store')",
        closed=cloud.private,
        rules=rules,
        addresses="parameters('viewerAddresses')" if rules and cloud.viewed else "",
        sealed=cloud.customer_keys,
    )
    made += [
        container("variables('store')", f"'{IMAGES}'"),
        to_identity(BLOB_CONTRIBUTOR, MACHINE, images),
    ]
    if cloud.viewed:
        made.append(to_group(BLOB_READER, "parameters('viewers')", images))
    if cloud.own_network:
        made += _network(cloud)
        made += endpoints(_endpoints(cloud))
        made += to_server("parameters('serverService')")
    if cloud.workspace:
        made += _workspace(cloud, rules, images)
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


def _workspace(cloud: CloudControls, rules: list[Body], images: str) -> list[Body]:
    made = workspace(closed=cloud.private, rules=rules, sealed=cloud.customer_keys, registry=True)
    made += cluster(inside=cloud.own_network, public_address=not cloud.private)
    made.append(datastore(IMAGES, "variables('store')", IMAGES, images))
    made.append(to_group(SUBMITTER, "parameters('officers')", WORKSPACE_ID))
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
