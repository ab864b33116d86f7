"""The whole template of a sandbox: the coordinator's part, and each hospital's in its own group."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fed_assets.azure.arm import API_VERSIONS, Body, id_of, resource, told
from fed_assets.azure.cloud_controls import CloudControls, cloud_controls
from fed_assets.azure.coordinator_side import (
    DROP_BOX,
    MESSAGES,
    SHARED_WITH_HOSPITALS,
    coordinator_resources,
)
from fed_assets.azure.declared import declared_template
from fed_assets.azure.hospital_side import hospital_template
from fed_assets.azure.machines import CONFIDENTIAL_SIZES, PLAIN_SIZES, SERVICE_ID
from fed_assets.azure.parties import Party, parties
from fed_assets.azure.roles import (
    BLOB_READER,
    DEFINITIONS,
    DROP_BOX_ROLE,
    MACHINE,
    MESSAGES_ROLE,
    assignment,
    definition_of,
)
from fed_assets.azure.stores import STORE_ID, container_id
from fed_assets.sandboxes.sandbox import Sandbox

DEPLOYMENT = "Microsoft.Resources/deployments"
NOBODY = "00000000-0000-0000-0000-000000000000"  # Azure refuses a role for it
NO_KEY = "the public SSH key of the hospital"
# What each hospital says for itself; all others are the same for all.
OWN = ("short", "key", "network", "location", "officers", "officerAddresses", "adminKey")
_THIS = "parameters('hospitals')[copyIndex()]"
_EACH = {"name": "hospitals", "count": "[length(parameters('hospitals'))]"}


def sandbox_template(sandbox: Sandbox, hospitals: Sequence[str], *, base: str, region: str) -> Body:
    """Returns the template of a sandbox for a roster's hospitals.

    It is deployed to the coordinator's resource group; each hospital's, `rg-BASE-SHORT`, is there
    already and may be another's to own.

    Args:
        sandbox: whose controls it follows.
        hospitals: the ids of the hospitals, in the roster's order.
        base: what every name in Azure begins with; `PARAMETERS` of `declared` says how.
        region: where everybody's resources are, unless `hospitals` says otherwise.
    """
    cloud = cloud_controls(sandbox)
    nested = hospital_template(cloud)
    coordinator, *others = parties(hospitals)
    sizes = CONFIDENTIAL_SIZES if cloud.confidential else PLAIN_SIZES
    return declared_template(
        [*coordinator_resources(cloud), _hospital(nested, cloud), *_given_to_hospitals(cloud)],
        variables={
            "short": coordinator.short,
            "key": coordinator.key,
        },
        parameters={
            "base": {"defaultValue": base},
            "location": {"defaultValue": region},
            "network": {"defaultValue": coordinator.network},
            "machineSize": {"defaultValue": sizes[0], "allowedValues": list(sizes)},
            "viewerAddresses": {"defaultValue": []},
            "hospitals": {
                "defaultValue": [_entry(each, nested, base=base, region=region) for each in others]
            },
        },
        outputs={},
    )


def _entry(party: Party, nested: Body, *, base: str, region: str) -> dict[str, Any]:
    said = {
        "id": party.id,
        "resourceGroup": f"rg-{base}-{party.short}",
        "location": region,
        "short": party.short,
        "key": party.key,
        "network": party.network,
        "officers": NOBODY,
        "officerAddresses": [],
        "adminKey": NO_KEY,
    }
    asked = {"id", "resourceGroup", "short", *nested["parameters"]}
    return {name: value for name, value in said.items() if name in asked}


def _hospital(nested: Body, cloud: CloudControls) -> Body:
    """Returns the deployment of one hospital's template, once for each of the roster."""
    elsewhere = {
        "dropStore": told(STORE_ID),
        "serverService": told(SERVICE_ID),
        "coordinator": told(f"reference({MACHINE}).principalId"),
    }
    given = {
        name: {
            "value": told(f"{_THIS}.{name}")
            if name in OWN
            else elsewhere.get(name, told(f"parameters('{name}')"))
        }
        for name in nested["parameters"]
    }
    after = {"dropStore": STORE_ID, "serverService": SERVICE_ID, "coordinator": MACHINE}
    return resource(
        DEPLOYMENT,
        f"concat('hospital-', {_THIS}.short)",
        after=[needed for name, needed in after.items() if name in given],
        copy=_EACH,
        resourceGroup=told(f"{_THIS}.resourceGroup"),
        properties={
            "mode": "Incremental",
            "expressionEvaluationOptions": {"scope": "Inner"},
            "parameters": given,
            "template": nested,
        },
    )


def _given_to_hospitals(cloud: CloudControls) -> list[Body]:
    """Returns what each hospital may do with its own containers, and with what all are given."""
    deployed = (
        f"resourceId({_THIS}.resourceGroup, '{DEPLOYMENT}', concat('hospital-', {_THIS}.short))"
    )
    version = API_VERSIONS[DEPLOYMENT]
    principal = f"reference({deployed}, '{version}').outputs.principal.value"
    own = [("drop-box-roles", DROP_BOX, DROP_BOX_ROLE)]
    if cloud.submitted:
        own.append(("message-roles", MESSAGES, MESSAGES_ROLE))
    containers = [
        (name, container_id("variables('store')", container), guid) for name, container, guid in own
    ]
    shared = container_id("variables('store')", f"'{SHARED_WITH_HOSPITALS}'")
    return [
        *(
            assignment(
                id_of(DEFINITIONS, guid),
                principal,
                container,
                named_by=(container, f"{_THIS}.id", guid),
                kind="ServicePrincipal",
                after=(container, deployed, id_of(DEFINITIONS, guid)),
                copy={**_EACH, "name": name},
            )
            for name, container, guid in containers
        ),
        assignment(
            definition_of(BLOB_READER),
            principal,
            shared,
            named_by=(shared, f"{_THIS}.id", f"'{BLOB_READER.id}'"),
            kind="ServicePrincipal",
            after=(shared, deployed),
            copy={**_EACH, "name": "global-model-roles"},
        ),
    ]
