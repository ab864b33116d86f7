"""The roles that templates give, and what each lets somebody do with data, keys and jobs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from fed_assets.azure.arm import Body, id_of, resource, told


class May(StrEnum):
    """What a role lets somebody do, in the order in which it is told."""

    READ = "read"
    ADD = "add what is new"
    WRITE = "write"
    DELETE = "delete"
    USE_KEY = "use the key"
    RELEASE_KEY = "have the key released"
    SUBMIT = "submit jobs"
    ADMINISTER = "administer"


@dataclass(frozen=True)
class Role:
    """A role of Azure's own.

    Attributes:
        name: Azure's.
        id: the GUID of its definition.
        may: what it permits.
    """

    name: str
    id: str
    may: frozenset[May]


def _role(name: str, guid: str, *may: May) -> Role:
    return Role(name, guid, frozenset(may))


_EVERYTHING = (May.READ, May.ADD, May.WRITE, May.DELETE)
BLOB_READER = _role("Storage Blob Data Reader", "2a2b9908-6ea1-4ae2-8e65-a410df84e7d1", May.READ)
BLOB_CONTRIBUTOR = _role(
    "Storage Blob Data Contributor", "ba92f5b4-2d11-453d-a403-e96b0029c9fe", *_EVERYTHING
)
FILE_CONTRIBUTOR = _role(
    "Storage File Data Privileged Contributor",
    "69566ab7-960f-475b-8e7c-b3118f30c6bd",
    *_EVERYTHING,
)
KEY_USER = _role("Key Vault Crypto User", "12338af0-0e69-4776-bea7-57ae8d297424", May.USE_KEY)
KEY_FOR_STORES = _role(
    "Key Vault Crypto Service Encryption User",
    "e147488a-f6f5-4113-8e2d-b22465e65bf6",
    May.USE_KEY,
)
KEY_RELEASE = _role(
    "Key Vault Crypto Service Release User",
    "08bbd89e-9f13-488c-ac41-acfcb10c90ab",
    May.RELEASE_KEY,
)
VAULT_ADMINISTRATOR = _role(
    "Key Vault Administrator",
    "00482a5a-887f-4fb3-b363-3b7fe8e74483",
    *(*_EVERYTHING, May.USE_KEY, May.ADMINISTER),
)
IMAGE_PULL = _role("AcrPull", "7f951dda-4ed3-4680-a7ca-43fe172d538d", May.READ)
SUBMITTER = _role(
    "AzureML Data Scientist", "f6c7c914-8db3-469d-8ca1-694a8f32e121", May.READ, May.SUBMIT
)
# Of what a workspace keeps for itself: it also opens and closes its networks.
CONTRIBUTOR = _role("Contributor", "b24988ac-6180-42a0-ab88-20f7382dd24c", May.ADMINISTER)

ROLES: Mapping[str, Role] = {
    role.id: role
    for role in (
        *(BLOB_READER, BLOB_CONTRIBUTOR, FILE_CONTRIBUTOR, KEY_USER, KEY_FOR_STORES, KEY_RELEASE),
        *(VAULT_ADMINISTRATOR, IMAGE_PULL, SUBMITTER, CONTRIBUTOR),
    )
}
DEFINITIONS = "Microsoft.Authorization/roleDefinitions"
ASSIGNMENTS = "Microsoft.Authorization/roleAssignments"
_BLOBS = "Microsoft.Storage/storageAccounts/blobServices/containers/blobs"
# What single actions permit, for roles that a template defines itself.
ACTIONS: Mapping[str, May] = {
    f"{_BLOBS}/add/action": May.ADD,
    f"{_BLOBS}/read": May.READ,
    f"{_BLOBS}/write": May.WRITE,
    f"{_BLOBS}/delete": May.DELETE,
}
# Azure has no role that lets somebody put in and neither overwrite nor delete, nor one that writes
# without reading and listing besides.
DROP_BOX_ROLE = "guid(resourceGroup().id, 'drop box')"
MESSAGES_ROLE = "guid(resourceGroup().id, 'messages')"
IMAGES_ROLE = "guid(resourceGroup().id, 'images')"


def drop_box_role() -> Body:
    """Returns the definition of the role by which a hospital writes into its drop box."""
    return _definition(
        DROP_BOX_ROLE,
        "Drop box",
        "Adds blobs that are not there yet; neither reads, lists, overwrites nor deletes.",
        f"{_BLOBS}/add/action",
    )


def messages_role() -> Body:
    """Returns the definition of the role by which a hospital's job reads its task and answers."""
    return _definition(
        MESSAGES_ROLE,
        "Messages",
        "Reads blobs, and adds such as are not there yet; neither overwrites nor deletes.",
        f"{_BLOBS}/read",
        f"{_BLOBS}/add/action",
    )


def images_role() -> Body:
    """Returns the definition of the role by which a hospital's officers keep its images there."""
    return _definition(
        IMAGES_ROLE,
        "Images",
        "Puts blobs there, overwrites and deletes them; neither reads nor lists.",
        f"{_BLOBS}/write",
        f"{_BLOBS}/delete",
        whose="variables('dashed')",
    )


def _definition(
    name: str, called: str, description: str, *actions: str, whose: str = "parameters('base')"
) -> Body:
    return resource(
        DEFINITIONS,
        name,
        properties={
            "roleName": told(f"concat('{called} of ', {whose})"),
            "description": description,
            "type": "CustomRole",
            "permissions": [
                {
                    "actions": [],
                    "notActions": [],
                    "dataActions": list(actions),
                    "notDataActions": [],
                }
            ],
            "assignableScopes": [told("resourceGroup().id")],
        },
    )


def definition_of(role: Role) -> str:
    """Returns the expression of a role's id in the subscription."""
    return f"subscriptionResourceId('{DEFINITIONS}', '{role.id}')"


def to_identity(role: Role, identity: str, scope: str, *, after: tuple[str, ...] = ()) -> Body:
    """Returns the assignment of a role to a managed identity of the same template.

    Args:
        role: what it may do.
        identity: the expression of the identity's id.
        scope: the expression of the id of what it may do that with.
        after: ids of what else must be there first.
    """
    return assignment(
        definition_of(role),
        f"reference({identity}).principalId",
        scope,
        named_by=(scope, identity, f"'{role.id}'"),
        kind="ServicePrincipal",
        after=(scope, identity, *after),
    )


def to_group(role: Role, group: str, scope: str) -> Body:
    """Returns the assignment of a role to a group of people, by the expression of its object id."""
    return assignment(
        definition_of(role),
        group,
        scope,
        named_by=(scope, group, f"'{role.id}'"),
        kind="Group",
        after=(scope,),
    )


def assigned_to_identity(role: Role, identity: str, scope: str) -> str:
    """Returns the expression of the id of what `to_identity` makes."""
    name = f"guid({scope}, {identity}, '{role.id}')"
    return f"extensionResourceId({scope}, '{ASSIGNMENTS}', {name})"


def assignment(
    definition: str,
    principal: str,
    scope: str,
    *,
    named_by: tuple[str, ...],
    kind: str,
    after: tuple[str, ...],
    **more: Any,
) -> Body:
    """Returns the assignment of a role, named by a GUID that comes out the same each time.

    Args:
        definition: the expression of the role's id.
        principal: the expression of whose it is.
        scope: the expression of the id of what it is for.
        named_by: expressions, known before anything is deployed, that tell it from all others.
        kind: `ServicePrincipal` or `Group`.
        after: ids of what must be there first.
        more: what else the resource says, such as `copy`.
    """
    return resource(
        ASSIGNMENTS,
        f"guid({', '.join(named_by)})",
        scope=scope,
        after=after,
        **more,
        properties={
            "roleDefinitionId": told(definition),
            "principalId": told(principal),
            "principalType": kind,
        },
    )


IDENTITY = "Microsoft.ManagedIdentity/userAssignedIdentities"


def identity(name: str) -> Body:
    """Returns an identity that machines or services act by; `name` is an expression."""
    return resource(IDENTITY, name, location=told("parameters('location')"))


def acting_as(*identities: str) -> Body:
    """Returns the property `identity` of what acts by these, given as expressions of their ids."""
    return {
        "type": "UserAssigned",
        "userAssignedIdentities": {told(each): {} for each in identities},
    }


MACHINE = id_of(IDENTITY, "variables('machine')")
"""The identity of a party's machines."""
