"""The one switch of unattended retraining, with Dagster's real daemon; no run is asked for here."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from dagster import AssetKey, AssetMaterialization, DagsterInstance

from fed_assets.assets.reused_lanes import LANE
from fed_assets.automation.sensors import sensor_name
from fed_assets.automation.switch import OFF, SWITCH
from fed_assets.federation.roster import read_roster
from fed_assets.hospital.files import Store
from fed_assets.hospital.images import prepare_images
from fed_assets.resources.image_task import image_arguments
from fed_assets_tests.automation.pictures import draw
from fed_assets_tests.automation.unattended import (
    HOSPITALS,
    SCHEDULE,
    Unattended,
    the_daemon,
    three_hospitals,
)
from fed_assets_tests.places import Place

pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def unattended(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Unattended]:
    """Yields three hospitals whose images were taken up, with the daemon and all as shipped."""
    folder = tmp_path_factory.mktemp("switch")
    place, pictures = three_hospitals(folder, schedule={"minimal": "* * * * *"})
    take_up(place)
    with the_daemon(folder, place, pictures) as unattended:
        yield unattended


def take_up(place: Place) -> None:
    """Has the hospitals prepare their images, as a run's lanes do, and notes that they ran."""
    place.run("fed_assets.cli", "home")
    roster = read_roster(place.home.root.parent / "roster.yaml")
    with DagsterInstance.from_config(str(place.home.instance)) as instance:
        for each in roster.hospitals:
            store = Store(place.home.store(each.id, "minimal"), each.id)
            asked = image_arguments(roster, each, data=None, cache=place.home.cache)
            prepare_images(asked, store)
            for step in LANE:
                made = AssetMaterialization(AssetKey([each.id, step]), partition="minimal")
                instance.report_runless_asset_event(made)


def test_off_as_shipped_a_new_file_and_a_time_that_has_come_ask_for_nothing(
    unattended: Unattended,
) -> None:
    file = draw(unattended.pictures / "north" / "normal" / "too_early.png", 0, 4141)
    for name in (*map(sensor_name, HOSPITALS), SCHEDULE):
        assert {*unattended.looked(name, 1)} == {OFF}
    assert unattended.reasons(SWITCH) == []
    assert list(unattended.instance.get_runs()) == []
    file.unlink()


def test_a_hospital_is_switched_off_alone_and_the_one_switch_stops_them_all(
    unattended: Unattended,
) -> None:
    unattended.switch(SCHEDULE, "stop", kind="schedule")  # it would train: nothing has been yet
    unattended.switch(SWITCH, "start")
    north = sensor_name("north")
    unattended.wait(lambda: unattended.reasons(north)[0] == "north in minimal: nothing is new.")

    unattended.switch(sensor_name("south"), "stop")
    draw(unattended.pictures / "south" / "normal" / "unwatched.png", 0, 6000)
    assert unattended.looked(north, 2)[0] == "north in minimal: nothing is new."

    unattended.switch(SWITCH, "stop")
    draw(unattended.pictures / "north" / "normal" / "too_late.png", 0, 6001)
    # A tick that had begun before may still say something else.
    assert {*unattended.looked(north, 3)[:2]} == {OFF}
    assert list(unattended.instance.get_runs()) == []
