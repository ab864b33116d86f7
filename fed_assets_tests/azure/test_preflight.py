"""What a subscription needs, read off the template."""

from __future__ import annotations

from typing import Any

import pytest

from fed_assets.azure.check import require_sound
from fed_assets.azure.parties import parties
from fed_assets.azure.preflight import Need, grouped, needs
from fed_assets.azure.template import sandbox_template
from fed_assets.sandboxes.presets import CONFIDENTIAL_VM, EYES_OFF, EYES_ON, MINIMAL
from fed_assets.sandboxes.sandbox import Sandbox

KEY = "https://kv-heart-{hospital}.vault.azure.net/keys/{hospital}"


def wanted(
    sandbox: Sandbox, hospitals: tuple[str, ...] = ("north", "south"), **values: Any
) -> list[Need]:
    made = sandbox_template(sandbox, hospitals, base="heart", region="westeurope")
    for name, value in values.items():
        made["parameters"][name]["defaultValue"] = value
    return needs(sandbox, made, require_sound(made), parties(hospitals))


def of(kind: str, found: list[Need]) -> list[tuple[str, str]]:
    return [(each.what, each.where) for each in found if each.kind == kind]


def test_every_party_has_a_resource_group_that_its_deployer_owns() -> None:
    found = wanted(MINIMAL)
    groups = ["rg-heart-coordinator", "rg-heart-north", "rg-heart-south"]
    assert of("resource group", found) == [(each, "westeurope") for each in groups]
    assert of("role", found) == [("Owner", each) for each in groups]


def test_vcpus_are_counted_by_family_and_region_and_those_of_clusters_apart() -> None:
    found = wanted(EYES_OFF)
    assert of("vCPUs", found) == [("4 of standardDDSv5Family", "westeurope")]
    assert of("vCPUs of clusters", found) == [("8 of standardDDSv5Family", "westeurope")]
    found = wanted(EYES_OFF, machineSize="Standard_D8ds_v5")
    assert of("vCPUs of clusters", found) == [("16 of standardDDSv5Family", "westeurope")]
    found = wanted(CONFIDENTIAL_VM)
    assert of("vCPUs", found) == [("12 of standardDCASv5Family", "westeurope")]
    assert of("vCPUs of clusters", found) == []
    assert of("size offered", found) == [("Standard_DC4as_v5", "westeurope")]


def test_another_region_of_one_hospital_counts_there() -> None:
    made = sandbox_template(MINIMAL, ["north", "south"], base="heart", region="westeurope")
    hospitals = made["parameters"]["hospitals"]["defaultValue"]
    hospitals[1]["location"] = "northeurope"
    found = needs(MINIMAL, made, require_sound(made), parties(["north", "south"]))
    assert of("vCPUs of clusters", found) == [
        ("4 of standardDDSv5Family", "northeurope"),
        ("4 of standardDDSv5Family", "westeurope"),
    ]


def test_names_that_nobody_else_may_have_and_vaults_that_were_deleted() -> None:
    found = wanted(EYES_OFF)
    free = {what for what, _ in of("free name", found)}
    assert {"stheartnorth", "swheartnorth", "crheartnorth", "kv-heart-north"} <= free
    deleted = {what for what, _ in of("no deleted vault", found)}
    assert deleted == {name for name in free if name.startswith(("kv-", "kw-"))}
    assert len(deleted) == 6


def test_providers_are_those_of_the_resources() -> None:
    learning = "Microsoft.MachineLearningServices"
    assert (learning, "subscription") in of("provider", wanted(EYES_OFF))
    assert ("EncryptionAtHost", "subscription") in of("feature", wanted(EYES_OFF))
    assert of("feature", wanted(CONFIDENTIAL_VM)) == []  # Azure refuses it there


def test_what_only_the_deployer_knows_is_asked_for() -> None:
    assert of("value", wanted(MINIMAL)) == [
        *(("viewers", "parameters"), ("machineImage", "parameters"), ("adminKey", "parameters")),
        *(("officers", "north"), ("officers", "south")),
    ]
    assert of("value", wanted(EYES_ON))[-4:] == [
        *(("officers", "north"), ("officerAddresses", "north")),
        *(("officers", "south"), ("officerAddresses", "south")),
    ]
    confidential = of("value", wanted(CONFIDENTIAL_VM))
    assert ("officers", "south") in confidential
    assert ("adminKey", "south") in confidential
    assert ("attestation", "parameters") in confidential


@pytest.mark.parametrize(
    ("hospitals", "key", "said"),
    [
        (("north",), KEY, "finds each party's key by it"),
        (("north",), KEY.replace("kv-heart", "kv-other"), "which are no keys of this template"),
        (("university_hospital",), KEY, "it does not find those of university_hospital"),
    ],
)
def test_where_the_software_finds_the_keys(hospitals: tuple[str, ...], key: str, said: str) -> None:
    fields = EYES_OFF.model_dump() | {"key_custody": "azure_key_vault", "key_vault": key}
    found = wanted(Sandbox.model_validate(fields), hospitals)
    (line,) = [each for each in found if each.kind == "sandbox"]
    assert line.what.endswith(KEY)
    assert said in line.look


def test_a_sandbox_without_keys_in_vaults_says_nothing_of_them() -> None:
    assert of("sandbox", wanted(MINIMAL)) == []
    assert of("sandbox", wanted(CONFIDENTIAL_VM)) == []


def test_people_read_it_by_kind_and_command() -> None:
    rows = grouped(wanted(EYES_OFF))
    assert len(rows) < 20
    assert next((kind, what) for kind, what, _ in rows if kind == "role") == (
        "role",
        "Owner: rg-heart-coordinator, rg-heart-north, rg-heart-south",
    )


def test_where_jobs_messages_pass_is_told_as_the_roster_takes_it() -> None:
    found = wanted(MINIMAL, ("north", "east_end"))
    url = "messages: https://stheartcoordinator.blob.core.windows.net/messages-"
    assert [each for each in of("roster", found) if each[0].startswith("messages")] == [
        (f"{url}north", "north"),
        (f"{url}east-end", "east_end"),
    ]
    assert of("roster", wanted(EYES_OFF)) == []


def test_so_are_the_datastores_of_its_home_and_its_images() -> None:
    found = wanted(MINIMAL, ("north", "east_end"))
    stores = [each for each in of("roster", found) if not each[0].startswith("messages")]
    assert stores == [
        (f"{name}: azureml://datastores/{name}/paths/FOLDER", hospital)
        for hospital in ("north", "east_end")
        for name in ("images", "home")
    ]
    told = {(what, look) for kind, what, look in grouped(found) if kind == "roster"}
    home = "home: azureml://datastores/home/paths/FOLDER: north, east_end"
    assert [look for what, look in told if what == home] == [
        "the hospital's `azure_ml` takes it; FOLDER is one of its choice"
    ]
