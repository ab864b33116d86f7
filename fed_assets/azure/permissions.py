"""Who may read, write and use what: reckoned from the roles that a template really gives."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from fed_assets.azure.check import MADE_UP, officers_of
from fed_assets.azure.deployment import Deployment, Resource
from fed_assets.azure.functions import Later
from fed_assets.azure.parties import COORDINATOR, Party
from fed_assets.azure.roles import ACTIONS, ASSIGNMENTS, DEFINITIONS, IDENTITY, ROLES, May
from fed_assets.azure.stores import ACCOUNT, CONTAINER
from fed_assets.azure.vaults import KEY, KEY_OF_STORE, VAULT
from fed_assets.azure.workspaces import REGISTRY, WORKSPACE
from fed_assets.errors import AzureTemplateError

VIEWERS = "viewers"
# Containers in the coordinator's store that are a hospital's each, by what their names begin with.
OF_HOSPITALS = {"drop": "drop box", "messages": "messages"}
# The columns of the matrix: who somebody is to the one whose store or key it is.
COLUMNS = (
    *("its machine", "its officers", "its services", "other hospitals"),
    *("the coordinator", VIEWERS),
)


@dataclass(frozen=True)
class Subject:
    """Who may do something.

    Attributes:
        party: a hospital's id, `coordinator`, or nothing for people of the whole consortium.
        kind: `machine`, `officers`, `service` or `viewers`.
    """

    party: str
    kind: str


@dataclass(frozen=True)
class Target:
    """What somebody may do something with.

    Attributes:
        party: whose it is.
        thing: what it is called in the matrix.
        id: its id in Azure.
    """

    party: str
    thing: str
    id: str


@dataclass(frozen=True)
class Right:
    """What somebody may do with something, at first hand or by jobs that he may submit."""

    who: Subject
    what: Target
    may: frozenset[May]
    by_jobs: bool


def rights(deployment: Deployment, everyone: Iterable[Party]) -> list[Right]:
    """Returns every right that a template gives on data, keys, registries and workspaces.

    A role on a resource holds for all that lies in it. Who may submit jobs to a workspace may do by
    them whatever the identity of its cluster may.

    Raises:
        AzureTemplateError: a role is given of which it is not known what it permits, or to somebody
            who is not known.
    """
    owners = _owners(deployment, list(everyone))
    targets = list(_targets(deployment, owners))
    identities = _identities(deployment, owners)
    direct = [
        Right(who, target, may, by_jobs=False)
        for who, scope, may in _assignments(deployment, identities, owners)
        for target in targets
        if target.id == scope or target.id.startswith(f"{scope}/")
    ]
    acting = {
        (each.id.partition("/computes/")[0], _machine_of(each, identities))
        for each in deployment.of_kind(f"{WORKSPACE}/computes")
    }
    by_jobs = [
        Right(right.who, other.what, other.may, by_jobs=True)
        for right in direct
        if May.SUBMIT in right.may
        for workspace, machine in acting
        if workspace == right.what.id
        for other in direct
        if other.who == machine != right.who
    ]
    return list(dict.fromkeys([*direct, *by_jobs]))


def _owners(deployment: Deployment, everyone: list[Party]) -> Mapping[str, Party]:
    """Returns by template whose part it deploys."""
    hospitals = {f"hospital-{each.short}": each for each in everyone if each.id != COORDINATOR}
    (coordinator,) = [each for each in everyone if each.id == COORDINATOR]
    templates = {each.template for each in deployment.resources}
    return {name: hospitals.get(name, coordinator) for name in templates}


def _identities(deployment: Deployment, owners: Mapping[str, Party]) -> Mapping[str, Subject]:
    """Returns by its id who each identity is: the machines' is named as all of a party's begin."""
    names: dict[str, list[Resource]] = {}
    for each in deployment.of_kind(IDENTITY):
        names.setdefault(each.template, []).append(each)
    return {
        each.id: Subject(
            owners[template].id,
            "service" if each.name != min(same, key=_length).name else "machine",
        )
        for template, same in names.items()
        for each in same
    }


def _length(identity: Resource) -> int:
    return len(identity.name)


def _assignments(
    deployment: Deployment, identities: Mapping[str, Subject], owners: Mapping[str, Party]
) -> Iterator[tuple[Subject, str, frozenset[May]]]:
    own = {each.id: _permitted(each) for each in deployment.of_kind(DEFINITIONS)}
    for each in deployment.of_kind(ASSIGNMENTS):
        properties = each.body["properties"]
        role = properties["roleDefinitionId"]
        built_in = ROLES.get(role.rpartition("/")[2])
        may = own.get(role) or (built_in.may if built_in else None)
        if may is None:
            raise AzureTemplateError(
                "A role is given of which it is not known what it permits",
                where=each.id,
                seen=role,
                cure="Say in `fed_assets/azure/roles.py` what it permits",
            )
        scope = each.id.partition(f"/providers/{ASSIGNMENTS}/")[0]
        yield _subject(properties["principalId"], identities, owners), scope, may


def _permitted(definition: Resource) -> frozenset[May]:
    """Returns what a role permits that the template defines itself."""
    found = set()
    for each in definition.body["properties"]["permissions"]:
        for action in (*each["actions"], *each["dataActions"]):
            if action not in ACTIONS:
                raise AzureTemplateError(
                    "A role permits something of which nothing is known",
                    where=definition.id,
                    seen=action,
                    cure="Say in `fed_assets/azure/roles.py` what it is",
                )
            found.add(ACTIONS[action])
    return frozenset(found)


def _subject(
    principal: Any, identities: Mapping[str, Subject], owners: Mapping[str, Party]
) -> Subject:
    if isinstance(principal, Later) and principal.path == "principalId":
        return identities[principal.resource]
    if principal == MADE_UP["viewers"]:
        return Subject("", VIEWERS)
    for each in owners.values():
        if principal == officers_of(each.id):
            return Subject(each.id, "officers")
    raise AzureTemplateError("A role is given to somebody who is not known", seen=str(principal))


def _machine_of(cluster: Resource, identities: Mapping[str, Subject]) -> Subject:
    (identity,) = cluster.body["identity"]["userAssignedIdentities"]
    return identities[identity]


def _targets(deployment: Deployment, owners: Mapping[str, Party]) -> Iterator[Target]:
    shorts = {each.short: each for each in owners.values()}
    for each in deployment.resources:
        owner = owners[each.template]
        name = each.name.rpartition("/")[2]
        thing = ""
        of, _, short = name.partition("-")
        if each.kind == CONTAINER and of in OF_HOSPITALS:
            owner, thing = shorts[short], OF_HOSPITALS[of]
        elif each.kind == CONTAINER:
            thing = name
        elif each.kind == KEY:
            thing = "key of its store" if name == KEY_OF_STORE else "key"
        elif each.kind == ACCOUNT and name.startswith("sw"):
            thing = "store of its workspace"
        elif each.kind == VAULT and name.startswith("kw-"):
            thing = "vault of its workspace"
        elif each.kind == REGISTRY:
            thing = "registry"
        elif each.kind == WORKSPACE:
            thing = "workspace"
        if thing:
            yield Target(owner.id, thing, each.id)


def matrix(found: Iterable[Right]) -> Mapping[str, Mapping[str, str]]:
    """Returns by thing and column of `COLUMNS` what may be done, in words.

    Hospitals stand in it together: a right that one of them has too many shows as everybody's.
    """
    cells: dict[str, dict[str, dict[bool, set[May]]]] = {}
    for right in found:
        row = "the coordinator's" if right.what.party == COORDINATOR else "a hospital's"
        cell = cells.setdefault(f"{row} {right.what.thing}", {}).setdefault(_column(right), {})
        cell.setdefault(right.by_jobs, set()).update(right.may)
    return {
        thing: {column: _said(row.get(column, {})) for column in COLUMNS}
        for thing, row in sorted(cells.items())
    }


def _column(right: Right) -> str:
    who, owner = right.who, right.what.party
    if who.kind == VIEWERS:
        return VIEWERS
    if who.kind == "service" and who.party == owner:
        return "its services"
    if who.party == COORDINATOR:
        return "the coordinator"
    if who.party == owner:
        return f"its {who.kind}"
    return "other hospitals"


def _said(cell: Mapping[bool, set[May]]) -> str:
    direct, by_jobs = cell.get(False, set()), cell.get(True, set())
    parts = [_listed(direct)] if direct else []
    if more := by_jobs - direct:
        parts.append(f"by jobs: {_listed(more)}")
    return "; ".join(parts)


def _listed(found: set[May]) -> str:
    """Returns rights in their order; who may write may add."""
    told = found - {May.ADD} if May.WRITE in found else found
    return ", ".join(may for may in May if may in told)
