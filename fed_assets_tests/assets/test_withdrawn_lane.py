"""The lane of a hospital that withdrew: nobody asks the hospital for anything of its images."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from dagster import AssetCheckSeverity, AssetKey, ExecuteInProcessResult

from fed_assets.errors import HospitalWithdrawn, StorageError
from fed_assets.federation.withdrawals import rejoin, withdraw
from fed_assets.hospital.tasks import find_task
from fed_assets.resources.home import COORDINATOR, Home
from fed_assets.resources.withdrawn_hospitals import OWN, require_stayed
from fed_assets.sandboxes.presets import REFERENCE
from fed_assets_tests.automation.conftest import Federation, federation, thrown_away

LANE = [AssetKey(["north", "images"]), AssetKey(["north", "validated_images"])]


def run_lane(place: Federation) -> ExecuteInProcessResult:
    return place.definitions.resolve_job_def("federated_lifecycle").execute_in_process(
        instance=place.instance, partition_key="minimal", asset_selection=LANE
    )


def test_it_is_left_out_before_its_worker_is_asked_and_no_picture_is_published(
    tmp_path: Path,
) -> None:
    with thrown_away(tmp_path) as instance:
        place = federation(tmp_path, instance)
        home = place.settings.home
        withdraw(home.withdrawals, "north", by="Ada", because="its board said so")
        result = run_lane(place)
    assert result.success
    made = {
        event.asset_key.path[-1]: event.materialization.metadata
        for event in result.get_asset_materialization_events()
        if event.asset_key
    }
    assert "contact_sheet" not in made["images"]
    assert str(made["images"]["error"].value).startswith("it withdrew on ")
    (check,) = [
        each for each in result.get_asset_check_evaluations() if each.check_name == "images_read"
    ]
    assert (check.passed, check.severity) == (False, AssetCheckSeverity.WARN)
    path = home.artifacts / "north" / "validated_images" / "minimal.json"
    validated = json.loads(path.read_text())
    assert not validated["admitted"]
    assert "its board said so" in validated["reason"]
    assert not home.store("north", "minimal").exists()


def test_it_may_be_asked_for_what_is_its_own_alone_and_others_for_all(tmp_path: Path) -> None:
    home = Home(tmp_path / "home").prepare()
    withdraw(home.withdrawals, "north", by="Ada", because="its board said so")
    for task in ("look_at_source", "prepare_images", "contact_sheet", "evaluate", "unheard_of"):
        with pytest.raises(HospitalWithdrawn, match="Nobody looks at images of north"):
            require_stayed(home, "minimal", "north", task)
        require_stayed(home, "minimal", "east", task)
        require_stayed(home, "minimal", COORDINATOR, task)
        require_stayed(home, REFERENCE, "north", task)
    for task in OWN:
        assert find_task(task, previews=True)
        require_stayed(home, "minimal", "north", task)
    rejoin(home.withdrawals, "north", by="Eve", because="a new contract")
    require_stayed(home, "minimal", "north", "evaluate")
    home.withdrawals.write_text("[")
    with pytest.raises(StorageError):
        require_stayed(home, "minimal", "east", "evaluate")
