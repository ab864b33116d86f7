from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from fed_assets.errors import RosterError
from fed_assets.federation.azure_ml import AzureML
from fed_assets.federation.roster import Hospital, Roster, read_roster

PROJECT = Path(__file__).parent.parent.parent
PLACE: dict[str, Any] = {
    "subscription": "00000000-0000-4000-8000-000000000001",
    "resource_group": "north-rg",
    "workspace": "north-ws",
    "compute": "north-cpu",
    "environment": "azureml:fed-assets:7",
    "home": "azureml://datastores/north_store/paths/fed_assets",
    "images": "azureml://datastores/north_images/paths/chest/2026",
    "messages": "https://northmessages.blob.core.windows.net/fed-assets-north/",
}
FOLDER = {"kind": "folder", "path": "${FED_ASSETS_DATA}/xrays"}
HOME = "azureml://datastores/west_store/paths/fed_assets"
IMAGES = "azureml://datastores/west_images/paths/chest"
ID = "00000000-0000-4000-8000-00000000000f"


def read(
    folder: Path, source: Any = FOLDER, beside: dict[str, Any] | None = None, **changes: Any
) -> Roster:
    place = {name: value for name, value in (PLACE | changes).items() if value is not None}
    north = {"id": "north", "name": "North", "azure_ml": place}
    entries = {
        "title": "One here, one in Azure ML",
        "data": {"source": {"kind": "phantom"}},
        "hospitals": [
            {"id": "south", "name": "South"},
            north if source is None else north | {"source": source},
        ],
        "network": {"_target_": "monai.networks.nets.ResNet"},
    }
    if beside:
        messages = "https://west.blob.core.windows.net/messages"
        own = PLACE | {"compute": "west-cpu", "messages": messages} | beside
        west = {"id": "west", "name": "West", "source": FOLDER, "azure_ml": own}
        entries["hospitals"].append(west)
    path = folder / "roster.yaml"
    path.write_text(yaml.safe_dump(entries))
    return read_roster(path)


def test_a_roster_mixes_hospitals_here_and_in_azure_ml(tmp_path: Path) -> None:
    roster = read(tmp_path)
    assert roster.here() == ("south",)
    assert roster.sharing() == ("south",)
    place = roster.hospitals[1].azure_ml
    assert place is not None
    assert place.account_url == "https://northmessages.blob.core.windows.net"
    assert place.container == "fed-assets-north"
    assert AzureML.model_validate(place.model_dump(mode="json")) == place
    source = roster.hospitals[1].source
    assert source is not None and source.model_dump(mode="json")["path"] == FOLDER["path"]


def test_the_hospital_in_the_docs_could_stand_in_a_roster() -> None:
    page = (PROJECT / "docs" / "azure-ml.md").read_text(encoding="utf-8")
    block = re.search(r"```yaml\n(.*?)```", page, flags=re.DOTALL)
    assert block is not None
    (entry,) = yaml.safe_load(block[1])["hospitals"]
    assert set(entry["azure_ml"]) == set(PLACE)
    Hospital.model_validate(entry)


def test_a_registrys_environment_and_a_named_identity_are_known(tmp_path: Path) -> None:
    registered = "azureml://registries/consortium/environments/fed-assets/versions/7"
    roster = read(tmp_path, environment=registered, identity=PLACE["subscription"])
    assert roster.hospitals[1].azure_ml is not None


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        ({"subscription": "mine"}, r"azure_ml\.subscription"),
        ({"workspace": "no spaces"}, r"azure_ml\.workspace"),
        ({"compute": None}, r"leaves out .*azure_ml\.compute"),
        # What runs at the hospital would change because somebody registers another.
        ({"environment": "azureml:fed-assets@latest"}, r"azure_ml\.environment"),
        ({"environment": "fed-assets:7; rm -rf /"}, r"azure_ml\.environment"),
        ({"home": "/mnt/home"}, r"azure_ml\.home"),
        ({"home": "azureml://datastores/x/paths/$(id)"}, r"azure_ml\.home"),
        (
            {"home": "azureml://datastores/North_Images/paths/fed_assets"},
            r"azure_ml.*`home` lies in the datastore of its `images`",
        ),
        ({"messages": "http://north.blob.core.windows.net/messages"}, "https URL"),
        ({"messages": "https://north.blob.core.windows.net/"}, "name the container"),
        ({"messages": "https://n.blob.core.windows.net/m?sv=1&sig=abc"}, "without a credential"),
        ({"messages": "https://n.blob.core.windows.net/messages/sub"}, "name the container"),
        ({"messages": "https://n.blob.core.windows.net/%6Dessages"}, "lower-case letters"),
        ({"messages": "https://n.blob.core.windows.net/messages "}, "lower-case letters"),
        ({"messages": "https://n.blob.core.windows.net:99999/messages"}, r"azure_ml\.messages"),
        ({"home": "azureml://datastores/home/paths/../images"}, r"azure_ml\.home"),
        ({"messages": "https://me:key@n.blob.core.windows.net/m"}, "without a credential"),
        ({"start_timeout_seconds": 0}, r"azure_ml\.start_timeout_seconds"),
        ({"computes": "x"}, r"unknown entry .*Did you mean `compute`"),
        ({"images": None}, "needs `images`"),
    ],
)
def test_what_no_job_could_be_made_of_is_refused(
    tmp_path: Path, changes: dict[str, Any], found: str
) -> None:
    with pytest.raises(RosterError, match=found):
        read(tmp_path, **changes)


@pytest.mark.parametrize(
    ("source", "found"),
    [
        (None, "needs a `source` of its own"),
        ({"kind": "folder", "path": "/data/xrays"}, "has to begin with"),
        ({"kind": "folder", "path": "${FED_ASSETS_DATA}/../other"}, "has to begin with"),
    ],
)
def test_images_that_no_job_could_be_given_are_refused(
    tmp_path: Path, source: Any, found: str
) -> None:
    with pytest.raises(RosterError, match=found):
        read(tmp_path, source)


@pytest.mark.parametrize(
    "written",
    [
        "https://NorthMessages.blob.core.windows.net/Fed-Assets-North",
        "https://northmessages.blob.core.windows.net:443/fed-assets-north",
        "https://northmessages.blob.core.windows.net.//fed-assets-north/",
    ],
)
def test_messages_of_two_hospitals_in_one_container_are_refused(
    tmp_path: Path, written: str
) -> None:
    with pytest.raises(RosterError, match="the `messages` of north are those of west too"):
        read(tmp_path, beside={"workspace": "west-ws", "messages": written})


@pytest.mark.parametrize(
    "beside", [{"compute": "North-CPU"}, {"workspace": "w-ws", "identity": ID}]
)
def test_hospitals_whose_jobs_run_as_one_are_refused(
    tmp_path: Path, beside: dict[str, Any]
) -> None:
    apart = {"home": HOME, "images": IMAGES, **beside}
    with pytest.raises(RosterError, match="the jobs of north run as west's do"):
        read(tmp_path, beside=apart, identity=ID)


@pytest.mark.parametrize(
    ("beside", "found"),
    [
        ({"images": IMAGES}, "`home` of north lies in a datastore that west uses"),
        # A role is for a whole datastore, whatever its folders are called.
        (
            {"home": "azureml://datastores/NORTH_STORE/paths/west", "images": IMAGES},
            "`home` of north lies in a datastore that west uses",
        ),
        (
            {"home": "azureml://datastores/north_images/paths/west", "images": IMAGES},
            "`home` of west lies in a datastore that north uses",
        ),
        (
            {"home": HOME, "images": "azureml://datastores/north_store/paths/chest"},
            "`home` of north lies in a datastore that west uses",
        ),
        ({"images": IMAGES, "workspace": "North-WS"}, "`home` of north lies in a datastore"),
    ],
)
def test_a_home_that_is_not_a_hospitals_own_is_refused(
    tmp_path: Path, beside: dict[str, Any], found: str
) -> None:
    with pytest.raises(RosterError, match=found):
        read(tmp_path, beside=beside)


@pytest.mark.parametrize("beside", [{"workspace": "west-ws"}, {"home": HOME, "images": IMAGES}])
def test_homes_are_apart_in_two_datastores_or_two_workspaces(
    tmp_path: Path, beside: dict[str, Any]
) -> None:
    assert read(tmp_path, beside=beside).azure_ids == ("north", "west")


def test_phantoms_are_made_there_and_take_no_images(tmp_path: Path) -> None:
    assert read(tmp_path, {"kind": "phantom"}, images=None).here() == ("south",)
