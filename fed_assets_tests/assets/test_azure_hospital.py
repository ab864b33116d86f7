"""A run with one hospital on this machine and one in Azure ML, as far as a double can be that."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from dagster import AssetKey, DagsterInstance

from fed_assets.assets.posture import attacked
from fed_assets.automation.sensors import sensor_name
from fed_assets.definitions import build_definitions
from fed_assets.errors import RosterError
from fed_assets.federation.roster import Roster
from fed_assets.resources.home import Home
from fed_assets.resources.settings import Settings
from fed_assets_tests.azure_ml.setting import HOSPITAL, azure_setting
from fed_assets_tests.azure_storage import Azurite
from fed_assets_tests.federation.test_azure_ml import PLACE
from fed_assets_tests.hospital.samples import write_folder

pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::dagster.PreviewWarning"),
]


LANE = ("images", "validated_images")


@pytest.mark.long
def test_a_roster_of_both_runs_each_where_its_machine_is(
    tmp_path: Path,
    azurite: Azurite,
    entries: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with azure_setting(tmp_path, azurite, monkeypatch) as setting:
        write_folder(setting.images / "chest")
        north = {
            "id": HOSPITAL,
            "name": "North",
            "source": {"kind": "folder", "path": "${FED_ASSETS_DATA}/chest"},
            "azure_ml": setting.place.model_dump(mode="json"),
        }
        roster = Roster.model_validate(
            entries
            | {
                "hospitals": [north, {"id": "south", "name": "South"}],
                "quorum": 1,
            }
        )
        home = Home(tmp_path / "home").prepare()
        (home.root / "keys" / "azure_ml").mkdir(parents=True)
        (setting.keys / "north.json").rename(home.root / "keys" / "azure_ml" / "north.json")
        definitions = build_definitions(Settings(home=home), roster)
        lanes = [AssetKey([name, asset]) for name in ("north", "south") for asset in LANE]
        with DagsterInstance.ephemeral() as instance:
            result = definitions.resolve_implicit_global_asset_job_def().execute_in_process(
                partition_key="minimal",
                asset_selection=[
                    AssetKey("sandbox_controls"),
                    *lanes,
                    AssetKey("federation_roster"),
                ],
                instance=instance,
            )
            log = [
                entry.user_message
                for entry in instance.all_logs(result.run_id)
                if "Azure ML took the job" in entry.user_message
            ]
        assert result.success
        assert setting.double.strange == []
        # Its images, its contact sheet, their validation; nothing was learned yet to compare with.
        assert len(setting.double.jobs) == len(log) == 3
    for name in ("north", "south"):
        images = json.loads((home.artifacts / name / "images" / "minimal.json").read_text())
        assert images["usable"] and images["images"] > 0
    assert not home.hospital("north").exists()
    assert home.store("south", "minimal").exists()
    admitted = json.loads((home.artifacts / "federation_roster" / "minimal.json").read_text())
    assert admitted["participants"] == ["south"]
    assert "has no `door`" in admitted["excluded"]["north"]


def test_no_job_is_handed_in_to_look_for_new_images(
    tmp_path: Path, entries: dict[str, Any]
) -> None:
    roster = in_azure_ml(entries, "north")
    definitions = build_definitions(Settings(home=Home(tmp_path)), roster)
    sensors = {sensor.name for sensor in definitions.sensors or ()}
    assert {sensor_name("east"), sensor_name("south")} <= sensors
    assert sensor_name("north") not in sensors


def test_an_audit_attacks_the_hospitals_on_this_machine_alone(entries: dict[str, Any]) -> None:
    assert attacked(in_azure_ml(entries, "north")) == ("east", "south")
    with pytest.raises(RosterError, match="the roster has none here"):
        attacked(in_azure_ml(entries, "north", "east", "south"))


def in_azure_ml(entries: dict[str, Any], *names: str) -> Roster:
    """Returns the roster with these hospitals' machines in Azure ML."""
    for hospital in entries["hospitals"]:
        if hospital["id"] in names:
            name = hospital["id"]
            messages = f"https://{name}.blob.core.windows.net/messages"
            own = PLACE | {"workspace": f"{name}-ws", "messages": messages}
            hospital |= {"azure_ml": own, "source": {"kind": "phantom"}}
    return Roster.model_validate(entries | {"automation": {"sandboxes": ["minimal"]}})
