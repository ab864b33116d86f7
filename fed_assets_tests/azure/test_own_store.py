"""Each hospital has a home that its machine alone opens, and images that this one only reads."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from fed_assets.azure.arm import Body
from fed_assets.azure.check import require_sound
from fed_assets.azure.permissions import matrix, rights
from fed_assets.azure.roles import (
    ASSIGNMENTS,
    BLOB_CONTRIBUTOR,
    BLOB_READER,
    assignment,
    definition_of,
)
from fed_assets.azure.stores import ACCOUNT, STORE_ID, container_id
from fed_assets.azure.template import sandbox_template
from fed_assets.azure.workspaces import DATASTORE
from fed_assets.sandboxes.presets import EYES_OFF, EYES_ON, SANDBOX_NAMES, find_sandbox
from fed_assets_tests.azure.deployments import (
    EVERYONE,
    HOSPITALS,
    deployment,
    nested,
    resource,
    template,
)
from fed_assets_tests.azure.own_store import WANTED, broken_in_stores
from fed_assets_tests.azure.promises import broken_promises

PROJECT = Path(__file__).parents[2]
IMAGES, HOME = (container_id("variables('store')", f"'{name}'") for name in ("images", "home"))


def row(made: Body, thing: str) -> dict[str, str]:
    """Returns of a whole template who may do something with a thing of a hospital's."""
    cells = matrix(rights(require_sound(made), EVERYONE))[f"a hospital's {thing}"]
    return {who: may for who, may in cells.items() if may}


@pytest.mark.parametrize("name", SANDBOX_NAMES)
def test_a_home_is_its_machines_alone_and_images_are_read_by_it_and_put_there_by_officers(
    name: str,
) -> None:
    jobs = name != "confidential_vm"
    submitted = name in ("minimal", "eyes_on")
    everything = "read, write, delete"
    home = {"its machine": everything}
    images = {"its machine": "read", "its officers": "write, delete"}
    if jobs:
        home["its officers"] = f"by jobs: {everything}"
        images["its officers"] += "; by jobs: read"
    if submitted:
        home["the coordinator"] = f"by jobs: {everything}"
        images |= {"the coordinator": "by jobs: read", "viewers": "read"}
    made = template(name)
    assert row(made, "home") == home
    assert row(made, "images") == images
    names = [each.name.partition("/")[2] for each in deployment(name).of_kind(DATASTORE)]
    assert names == (["images", "home"] * len(HOSPITALS) if jobs else [])


def role_on(made: Body, scope: str) -> Body:
    """Returns the one role of a hospital's machine on a container of its store."""
    (found,) = [
        each
        for each in nested(made)["resources"]
        if each["type"] == ASSIGNMENTS and each["scope"] == f"[{scope}]"
        if "variables('machine')" in each["name"]
    ]
    return found


def machine_that_writes_images(made: Body) -> None:
    role_on(made, IMAGES)["properties"]["roleDefinitionId"] = f"[{definition_of(BLOB_CONTRIBUTOR)}]"


def machine_that_is_shut_out_of_images(made: Body) -> None:
    nested(made)["resources"].remove(role_on(made, IMAGES))


def open_home(made: Body, role: str, party: str, kind: str) -> None:
    """Gives somebody, by the name of a parameter, a role on a hospital's home."""
    nested(made)["resources"].append(
        assignment(
            definition_of(role),
            f"parameters('{party}')",
            HOME,
            named_by=(HOME, f"'{party}'"),
            kind=kind,
            after=(HOME,),
        )
    )


def home_that_the_orchestrator_reads(made: Body) -> None:
    open_home(made, BLOB_READER, "coordinator", "ServicePrincipal")


def home_that_officers_write(made: Body) -> None:
    open_home(made, BLOB_CONTRIBUTOR, "officers", "Group")


def role_on_the_whole_store(made: Body) -> None:
    role_on(made, HOME)["scope"] = f"[{STORE_ID}]"


def jobs_whose_home_lies_among_images(made: Body) -> None:
    resource(nested(made), DATASTORE, "'home'")["properties"]["containerName"] = "images"


def jobs_that_open_a_home_by_a_key(made: Body) -> None:
    properties = resource(nested(made), DATASTORE, "'home'")["properties"]
    properties["credentials"] = {"credentialsType": "AccountKey"}


@pytest.mark.parametrize(
    ("spoil", "found"),
    [
        (machine_that_writes_images, "images of north, its machine may: add what is new, delete"),
        (machine_that_is_shut_out_of_images, "images of north, its machine may: nothing"),
        (home_that_the_orchestrator_reads, "a role on the home of north for coordinator: machine"),
        (home_that_officers_write, "a role on the home of north for north: officers"),
        (role_on_the_whole_store, "images of north, its machine may: add what is new, delete"),
        (jobs_whose_home_lies_among_images, "mlw-heart-north/home is the container stheartnorth"),
        (jobs_that_open_a_home_by_a_key, "mlw-heart-north/home opens by more than"),
    ],
    ids=lambda each: getattr(each, "__name__", ""),
)
def test_a_template_with_another_role_or_another_container_breaks_a_promise(
    spoil: Callable[[Body], None], found: str
) -> None:
    made = template("minimal")
    spoil(made)
    told = broken_promises(find_sandbox("minimal"), require_sound(made))
    assert any(found in each for each in told), told


def test_a_template_without_any_role_keeps_none_of_it() -> None:
    told = list(broken_in_stores(deployment("minimal"), []))
    assert len(told) == len(HOSPITALS) * sum(map(len, WANTED.values()))


def test_the_matrix_shows_it() -> None:
    made = template("minimal")
    machine_that_writes_images(made)
    home_that_the_orchestrator_reads(made)
    assert row(made, "images")["its machine"] == "read, write, delete"
    assert row(made, "home")["the coordinator"] == "read; by jobs: write, delete"


@pytest.mark.parametrize(
    ("sandbox", "rules"),
    [(EYES_ON, ["203.0.113.7", "198.51.100.1"]), (EYES_OFF, [])],
    ids=lambda each: getattr(each, "name", ""),
)
def test_officers_reach_their_own_store_alone_and_none_that_answers_no_public_network(
    sandbox: Any, rules: list[str]
) -> None:
    made = sandbox_template(sandbox, HOSPITALS, base="heart", region="westeurope")
    first = made["parameters"]["hospitals"]["defaultValue"][0]
    assert ("officerAddresses" in first) == bool(rules)
    if rules:
        viewers, officers = ([{"value": each, "action": "Allow"}] for each in rules)
        made["parameters"]["viewerAddresses"]["defaultValue"] = viewers
        first["officerAddresses"] = officers
    seen = {
        each.name: [rule["value"] for rule in each.body["properties"]["networkAcls"]["ipRules"]]
        for each in require_sound(made).of_kind(ACCOUNT)
    }
    assert seen["stheartnorth"] == rules
    assert seen["sthearteastend"] == rules[:1]
    assert seen["swheartnorth"] == seen["stheartcoordinator"] == []


def test_the_hospital_in_the_docs_keeps_its_home_where_a_template_has_it() -> None:
    page = (PROJECT / "docs" / "azure-ml.md").read_text(encoding="utf-8")
    block = re.search(r"```yaml\n(.*?)```", page, flags=re.DOTALL)
    assert block is not None
    (entry,) = yaml.safe_load(block[1])["hospitals"]
    place, whole = entry["azure_ml"], deployment("minimal")
    ids = {each.id for each in whole.resources}
    group = f"/resourceGroups/{place['resource_group']}/providers"
    workspace = f"{group}/Microsoft.MachineLearningServices/workspaces/{place['workspace']}"
    account, _, container = place["messages"].removeprefix("https://").partition("/")
    store = f"{ACCOUNT}/{account.partition('.')[0]}/blobServices/default/containers/{container}"
    stores = [f"{workspace}/datastores/{place[name].split('/')[3]}" for name in ("home", "images")]
    for named in (f"{workspace}/computes/{place['compute']}", *stores, store):
        assert [each for each in ids if each.endswith(named)], named
    assert [each.rpartition("/")[2] for each in stores] == ["home", "images"]
