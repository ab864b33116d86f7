"""Who may do what, reckoned from the roles that templates give."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from fed_assets.azure.check import require_sound
from fed_assets.azure.parties import parties
from fed_assets.azure.permissions import COLUMNS, matrix, rights
from fed_assets.azure.roles import ASSIGNMENTS, BLOB_READER, DEFINITIONS, May
from fed_assets.azure.template import sandbox_template
from fed_assets.errors import AzureTemplateError
from fed_assets.sandboxes.presets import EYES_OFF, SANDBOX_NAMES
from fed_assets_tests.azure.deployments import EVERYONE, deployment, spoilt
from fed_assets_tests.azure.docs_tables import control_table, matrix_tables

DOCS = Path(__file__).parents[2] / "docs" / "azure.md"


def cell(name: str, thing: str, column: str) -> str:
    return matrix(rights(deployment(name), EVERYONE))[thing][column]


def test_the_tables_in_the_docs_are_those_that_are_reckoned() -> None:
    docs = DOCS.read_text(encoding="utf-8")
    for names, table in matrix_tables().items():
        assert table in docs, names
    assert control_table() in docs
    assert {name for names in matrix_tables() for name in names} == set(SANDBOX_NAMES)


@pytest.mark.parametrize("name", SANDBOX_NAMES)
def test_a_drop_box_is_written_by_its_hospital_and_read_by_the_coordinator(name: str) -> None:
    assert cell(name, "a hospital's drop box", "its machine") == "add what is new"
    assert cell(name, "a hospital's drop box", "the coordinator").startswith("read")
    assert cell(name, "a hospital's drop box", "other hospitals") == ""


@pytest.mark.parametrize("name", SANDBOX_NAMES)
def test_messages_pass_where_jobs_are_submitted_and_a_job_takes_back_nothing(name: str) -> None:
    things = matrix(rights(deployment(name), EVERYONE))
    assert ("a hospital's messages" in things) == (name in ("minimal", "eyes_on"))
    if row := things.get("a hospital's messages"):
        assert row["its machine"] == "read, add what is new"
        assert row["the coordinator"] == "read, write, delete"
        assert row["other hospitals"] == row["its services"] == row["viewers"] == ""


@pytest.mark.parametrize("name", SANDBOX_NAMES)
def test_no_hospital_has_a_right_on_what_is_anothers(name: str) -> None:
    for thing, row in matrix(rights(deployment(name), EVERYONE)).items():
        wanted = "read" if thing == "the coordinator's global" else ""
        assert row["other hospitals"] == wanted, thing


def test_the_coordinator_reaches_images_by_jobs_where_code_is_submitted_and_nowhere_else() -> None:
    for name in ("minimal", "eyes_on"):
        assert cell(name, "a hospital's images", "the coordinator") == "by jobs: read"
    for name in ("eyes_off", "confidential_vm", "configurable"):
        assert cell(name, "a hospital's images", "the coordinator") == ""


def test_a_key_is_used_by_its_machine_or_released_to_it() -> None:
    assert cell("eyes_off", "a hospital's key", "its machine") == "use the key"
    assert cell("confidential_vm", "a hospital's key", "its machine") == "have the key released"
    assert cell("confidential_vm", "a hospital's key", "its officers") == ""


def moved(whole: Any, name: str, scope: str) -> Any:
    """Returns a deployment in which roles on something hold for what it lies in."""
    changed = [
        replace(each, id=f"{scope}/providers/{ASSIGNMENTS}/{each.name}")
        if each.kind == ASSIGNMENTS and name in each.id
        else each
        for each in whole.resources
    ]
    return replace(whole, resources=changed)


def test_a_role_on_a_whole_account_shows_in_each_of_its_containers() -> None:
    whole = deployment("eyes_off")
    (store,) = [each.id for each in whole.resources if each.name == "stheartcoordinator"]
    told = matrix(rights(moved(whole, "containers/global", store), EVERYONE))
    assert told["a hospital's drop box"]["other hospitals"] == "read"
    assert told["the coordinator's reports"]["other hospitals"] == "read"


def test_a_role_on_the_subscription_shows_everywhere() -> None:
    whole = deployment("eyes_off")
    subscription = "/subscriptions/11111111-1111-1111-1111-111111111111"
    told = matrix(rights(moved(whole, "containers/global", subscription), EVERYONE))
    assert told["a hospital's images"]["other hospitals"] == "read"


def test_a_stronger_role_on_a_drop_box_shows() -> None:
    permissions = [{"actions": [], "dataActions": [f"{BLOBS}/read", f"{BLOBS}/delete"]}]
    broken = spoilt(deployment("eyes_off"), DEFINITIONS, "", "properties.permissions", permissions)
    told = matrix(rights(broken, EVERYONE))
    assert told["a hospital's drop box"]["its machine"] == "read, delete"


BLOBS = "Microsoft.Storage/storageAccounts/blobServices/containers/blobs"


def test_a_role_or_somebody_of_whom_nothing_is_known_is_refused() -> None:
    whole = deployment("minimal")
    owner = "8e3af657-a8ff-443c-a75c-2fe8c4bcb635"
    definition = f"/subscriptions/x/providers/{DEFINITIONS}/{owner}"
    broken = spoilt(whole, ASSIGNMENTS, "", "properties.roleDefinitionId", definition)
    with pytest.raises(AzureTemplateError, match=f"not known what it permits.*{owner}"):
        rights(broken, EVERYONE)
    broken = spoilt(whole, ASSIGNMENTS, "", "properties.principalId", "somebody")
    with pytest.raises(AzureTemplateError, match="somebody who is not known"):
        rights(broken, EVERYONE)
    permissions = [{"actions": ["*"], "dataActions": []}]
    broken = spoilt(whole, DEFINITIONS, "", "properties.permissions", permissions)
    with pytest.raises(AzureTemplateError, match="permits something of which nothing is known"):
        rights(broken, EVERYONE)


def test_hospitals_that_are_called_like_services_are_none() -> None:
    ids = ("store", "workspace", "north", "far_north")
    made = sandbox_template(EYES_OFF, ids, base="heart", region="westeurope")
    told = matrix(rights(require_sound(made), parties(ids)))
    assert told == matrix(rights(deployment("eyes_off"), EVERYONE))


def test_jobs_give_what_the_cluster_may_and_say_so() -> None:
    found = [
        right
        for right in rights(deployment("eyes_off"), EVERYONE)
        if right.who.kind == "officers" and right.by_jobs
    ]
    assert {right.what.thing for right in found} >= {"images", "key", "drop box"}
    assert all(right.who.party == right.what.party or right.may == {May.READ} for right in found)
    assert BLOB_READER.may == {May.READ}
    assert len(COLUMNS) == 6
