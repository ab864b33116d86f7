"""What is promised of each hospital's images and home, looked for in what a template is."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from fed_assets.azure.deployment import Deployment
from fed_assets.azure.permissions import VIEWERS, Right
from fed_assets.azure.roles import May
from fed_assets_tests.azure.deployments import EVERYONE

DATASTORE = "Microsoft.MachineLearningServices/workspaces/datastores"
EVERYTHING = {May.READ, May.ADD, May.WRITE, May.DELETE}
# By container, who of the hospital has a role on it, and nobody else: its machine changes no image,
# and what it keeps in its home is for nobody's eyes.
WANTED: Mapping[str, Mapping[str, set[May]]] = {
    "images": {"machine": {May.READ}, "officers": {May.WRITE, May.DELETE}},
    "home": {"machine": EVERYTHING},
}


def broken_in_stores(whole: Deployment, given: list[Right]) -> Iterator[str]:
    """Yields what of this is not so."""
    for each in EVERYONE[1:]:
        for thing, wanted in WANTED.items():
            found: dict[tuple[str, str], set[May]] = {}
            for right in given:
                whose = (right.what.party, right.what.thing)
                looked_at = thing == "images" and right.who.kind == VIEWERS  # as `previews` says
                if whose == (each.id, thing) and not (right.by_jobs or looked_at):
                    who = (right.who.party, right.who.kind)
                    found.setdefault(who, set()).update(right.may)
            for kind, due in wanted.items():
                may = found.pop((each.id, kind), set())
                if may != due:
                    told = ", ".join(sorted(may)) or "nothing"
                    yield f"with the {thing} of {each.id}, its {kind} may: {told}"
            for party, kind in found:
                yield f"there is a role on the {thing} of {each.id} for {party or 'all'}: {kind}"
    yield from _datastores(whole)


def _datastores(whole: Deployment) -> Iterator[str]:
    """Yields where a job would be given another container than its hospital's own of that name."""
    for each in whole.of_kind(DATASTORE):
        said, name = each.body["properties"], each.name.rpartition("/")[2]
        container = f"{said['accountName']}/default/{said['containerName']}"
        own = f"{each.place.group_id}/providers/Microsoft.Storage/storageAccounts/"
        if said["containerName"] != name or not any(
            there.name == container and there.id.startswith(own) for there in whole.resources
        ):
            yield f"the datastore {each.name} is the container {container}"
        if said["credentials"] != {"credentialsType": "None"}:
            yield f"the datastore {each.name} opens by more than the machine's identity"
