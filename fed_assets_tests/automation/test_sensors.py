"""Ticks of the hospitals' sensors, with real hospitals that look at real files."""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from dagster import DagsterInstance, DagsterRunStatus, DefaultSensorStatus, RunRequest
from dagster._core.definitions.sensor_definition import SensorExecutionData
from dagster._core.scheduler.instigation import InstigatorStatus

from fed_assets.automation.sensors import MOST_WAITS, sensor_name
from fed_assets.automation.switch import OFF, SWITCH
from fed_assets.automation.tries import TRY_AGAIN
from fed_assets.federation.withdrawals import withdraw
from fed_assets.hospital.envelope import is_sealed
from fed_assets.hospital.store import SEEN
from fed_assets.resources.earlier_runs import TRY_TAG
from fed_assets_tests.automation.conftest import HOSPITALS, LANES, Federation, federation
from fed_assets_tests.automation.pictures import damaged, draw
from fed_assets_tests.confining import require_root

TRAINING = {
    "federation_roster",
    "global_model",
    *("evaluation_report", "registered_model", "deployed_model"),
    *(f"{name}/local_rounds" for name in HOSPITALS),
}


def drop(place: Federation, hospital: str, seed: int = 4242) -> Path:
    return draw(place.pictures / hospital / "normal" / f"new_{seed}.png", 0, seed)


def asked(tick: SensorExecutionData) -> RunRequest:
    """Returns the one request of a tick."""
    assert tick.run_requests is not None
    (request,) = tick.run_requests
    return request


def assets(request: RunRequest) -> set[str]:
    return {key.to_user_string() for key in request.asset_selection or ()}


def lane(*hospitals: str) -> set[str]:
    return {each for each in LANES if each.split("/")[0] in hospitals}


def nothing(tick: SensorExecutionData) -> str:
    """Returns why a tick asked for nothing."""
    assert not tick.run_requests
    assert tick.skip_message
    return tick.skip_message


def test_hospitals_that_never_took_part_are_all_asked_for_at_once(fresh: Federation) -> None:
    request = asked(fresh.tick("north"))
    assert assets(request) == {*LANES, *TRAINING}
    assert request.partition_key == "minimal"


def test_a_new_file_asks_for_its_lane_and_the_training_alone(taken_up: Federation) -> None:
    assert nothing(taken_up.tick("north")) == "north in minimal: nothing is new."
    drop(taken_up, "north")
    request = asked(taken_up.tick("north"))
    assert assets(request) == lane("north") | TRAINING
    assert request.tags["dagster/partition"] == "minimal"
    assert "fed_assets/new.north" in request.tags
    assert nothing(taken_up.tick("east")) == "east in minimal: nothing is new."


def test_the_same_data_are_asked_for_once(taken_up: Federation) -> None:
    drop(taken_up, "north")
    first = asked(taken_up.tick("north"))
    assert asked(taken_up.tick("north")).run_key == first.run_key
    taken_up.note_run(DagsterRunStatus.SUCCESS, tags=first.tags)
    assert "has taken it up" in nothing(taken_up.tick("north"))
    drop(taken_up, "north", seed=4343)
    assert asked(taken_up.tick("north")).run_key != first.run_key


def test_data_that_come_again_after_others_are_asked_for_again(taken_up: Federation) -> None:
    file = drop(taken_up, "north")
    first = asked(taken_up.tick("north")).run_key
    taken_up.take_up("north")
    kept = file.rename(taken_up.folder / "aside.png")
    without = asked(taken_up.tick("north")).run_key
    taken_up.take_up("north")
    shutil.move(kept, file)
    assert len({first, without, asked(taken_up.tick("north")).run_key}) == 3


@pytest.mark.parametrize(
    "status",
    [
        DagsterRunStatus.QUEUED,
        DagsterRunStatus.STARTED,
        DagsterRunStatus.CANCELING,
    ],
)
def test_a_tick_while_a_run_is_going_says_so_and_the_next_one_takes_the_change_up(
    taken_up: Federation, status: DagsterRunStatus
) -> None:
    drop(taken_up, "north")
    going = taken_up.note_run(status, job="federated_lifecycle")
    tick = taken_up.tick("north", cursor='{"minimal": 3}')
    assert f"Run {going.run_id[:8]} of minimal is under way" in nothing(tick)
    assert json.loads(tick.cursor or "") == {"minimal": 3}
    taken_up.instance.delete_run(going.run_id)
    assert asked(taken_up.tick("north", cursor=tick.cursor))


def test_of_a_failed_run_the_sensor_says_what_follows_and_asks_once_the_data_change(
    taken_up: Federation,
) -> None:
    drop(taken_up, "north")
    request = asked(taken_up.tick("north"))
    assert request.tags[TRY_TAG] == "1"
    failed = taken_up.note_run(DagsterRunStatus.FAILURE, tags=request.tags)
    reason = nothing(taken_up.tick("north"))
    assert f"1 new; run {failed.run_id[:8]} was to take it up and failed; try 2 of 3" in reason
    third = taken_up.note_run(DagsterRunStatus.FAILURE, tags={**request.tags, TRY_TAG: "3"})
    reason = nothing(taken_up.tick("north"))
    assert f"run {third.run_id[:8]} was to take it up and failed as try 3 of 3, so it" in reason
    assert "run the job take_up_new_images; images that change are taken up" in reason
    drop(taken_up, "north", seed=4343)
    anew = asked(taken_up.tick("north"))
    assert anew.tags[TRY_TAG] == "1"


def test_a_run_that_takes_the_place_of_a_failed_one_takes_its_lanes_along(
    taken_up: Federation,
) -> None:
    drop(taken_up, "north")
    failed = asked(taken_up.tick("north"))
    taken_up.note_run(DagsterRunStatus.FAILURE, tags=failed.tags)
    drop(taken_up, "east")
    request = asked(taken_up.tick("east"))
    assert assets(request) == lane("north", "east") | TRAINING
    assert request.tags["fed_assets/new.north"] == failed.tags["fed_assets/new.north"]
    taken_up.switch(sensor_name("north"), InstigatorStatus.STOPPED)
    assert assets(asked(taken_up.tick("east"))) == lane("east") | TRAINING


def test_of_a_run_that_failed_after_it_had_prepared_the_images_the_reason_tells(
    taken_up: Federation,
) -> None:
    damaged(taken_up.pictures / "north" / "normal" / "damaged.png")
    request = asked(taken_up.tick("north"))
    taken_up.take_up("north")
    failed = taken_up.note_run(DagsterRunStatus.FAILURE, tags=request.tags)
    reason = nothing(taken_up.tick("north"))
    assert reason.startswith(
        "north in minimal: the last change is in no model yet; "
        f"run {failed.run_id[:8]} was to take it up and failed; try 2 of 3 is due from "
    )
    taken_up.note_run(DagsterRunStatus.SUCCESS, job="federated_lifecycle")
    assert nothing(taken_up.tick("north")) == "north in minimal: nothing is new."


def test_of_a_hospital_that_withdrew_nobody_looks_and_nothing_is_asked_for(
    taken_up: Federation,
) -> None:
    home = taken_up.settings.home
    withdraw(home.withdrawals, "north", by="Ada", because="its board said so")
    for name in ("north", "east"):
        drop(taken_up, name)
    seen = home.store("north", "minimal") / SEEN
    seen.unlink(missing_ok=True)
    reason = nothing(taken_up.tick("north"))
    assert reason.startswith("north in minimal: nobody looks, as it withdrew on ")
    assert "(its board said so); `fed-assets forget north --undo --by" in reason
    assert not seen.exists()
    request = asked(taken_up.tick("east"))
    assert assets(request) == lane("east") | TRAINING
    home.withdrawals.write_text("[")  # where nobody can tell who withdrew, nobody is looked at
    assert "so that nobody may take part" in nothing(taken_up.tick("east"))


def test_hospitals_that_change_at_once_are_one_run_without_who_is_switched_off(
    taken_up: Federation,
) -> None:
    for name in HOSPITALS:
        drop(taken_up, name)
    taken_up.switch(sensor_name("east"), InstigatorStatus.DECLARED_IN_CODE)  # which is on
    taken_up.switch(sensor_name("south"), InstigatorStatus.STOPPED)
    request = asked(taken_up.tick("north"))
    assert assets(request) == lane("north", "east") | TRAINING
    assert {"fed_assets/new.north", "fed_assets/new.east"} <= request.tags.keys()
    # Even if that run fails before it reads them, east's images are not asked for twice.
    taken_up.note_run(DagsterRunStatus.FAILURE, tags=request.tags)
    assert "failed" in nothing(taken_up.tick("east"))


def test_the_same_file_dropped_twice_is_one_new_image(taken_up: Federation) -> None:
    file = drop(taken_up, "north")
    assert asked(taken_up.tick("north"))
    taken_up.take_up("north")
    shutil.copyfile(file, file.with_name("again.png"))
    reason = nothing(taken_up.tick("north"))
    assert reason == "north in minimal: nothing is new (1 file of the same content as others)."


def test_files_that_are_still_being_written_are_waited_for_but_not_for_ever(
    tmp_path: Path, scratch: DagsterInstance
) -> None:
    place = federation(tmp_path, scratch, settle_seconds=3000.0)
    tick = place.tick("north")
    assert nothing(tick) == "north in minimal: 60 files still being written."
    assert json.loads(tick.cursor or "") == {"minimal": 1}
    last = place.tick("north", cursor=json.dumps({"minimal": MOST_WAITS}))
    assert asked(last)
    assert json.loads(last.cursor or "") == {}


def test_a_cursor_that_nobody_wrote_waits_anew(taken_up: Federation) -> None:
    for cursor in ("nonsense", "[1]"):
        assert nothing(taken_up.tick("north", cursor=cursor))


def test_images_that_are_gone_are_said_and_ask_for_nothing(taken_up: Federation) -> None:
    shutil.rmtree(taken_up.pictures / "north")
    reason = nothing(taken_up.tick("north"))
    assert reason.startswith("The images of north cannot be looked at: ")
    assert "The folder of images is not there" in reason


@pytest.mark.parametrize("status", [InstigatorStatus.STOPPED, InstigatorStatus.DECLARED_IN_CODE])
def test_while_the_one_switch_is_off_nobody_looks_and_nothing_is_asked_for(
    taken_up: Federation, status: InstigatorStatus
) -> None:
    drop(taken_up, "north")
    home = taken_up.settings.home
    seen = {name: home.store(name, "minimal") / SEEN for name in HOSPITALS}
    for file in seen.values():
        file.unlink(missing_ok=True)
    taken_up.switch(SWITCH, status)
    # That a hospital's own sensor was switched on by hand does not count either.
    taken_up.switch(sensor_name("north"), InstigatorStatus.RUNNING)
    tick = taken_up.tick("north", cursor='{"minimal": 3}')
    assert nothing(tick) == OFF
    assert SWITCH in OFF
    assert json.loads(tick.cursor or "") == {"minimal": 3}
    assert not any(file.exists() for file in seen.values())

    taken_up.switch(SWITCH, InstigatorStatus.RUNNING)
    assert assets(asked(taken_up.tick("north"))) == lane("north") | TRAINING
    assert seen["north"].exists()

    taken_up.switch(SWITCH, InstigatorStatus.STOPPED)
    assert nothing(taken_up.tick("north")) == OFF


def test_in_a_new_home_the_one_switch_is_off(taken_up: Federation, tmp_path: Path) -> None:
    drop(taken_up, "north")
    folder = tmp_path / "new"
    folder.mkdir()
    with DagsterInstance.local_temp(str(folder)) as instance:
        untouched = replace(taken_up, instance=instance)
        assert instance.all_instigator_state() == []
        assert nothing(untouched.tick("north")) == OFF


def test_hospitals_sensors_are_on_and_look_as_often_as_the_roster_says(
    tmp_path: Path, scratch: DagsterInstance
) -> None:
    place = federation(tmp_path, scratch, look_every_seconds=90)
    sensors = place.definitions.get_repository_def().sensor_defs
    assert {sensor.name for sensor in sensors} == {
        *(f"{name}_new_images" for name in HOSPITALS),
        *(SWITCH, TRY_AGAIN),
    }
    on = {each.name: each.default_status is DefaultSensorStatus.RUNNING for each in sensors}
    assert [name for name in on if not on[name]] == [SWITCH]
    mine = [each for each in sensors if each.name != SWITCH]
    assert {sensor.minimum_interval_seconds for sensor in mine} == {90}
    assert all(sensor.description for sensor in sensors)


def test_a_roster_that_automates_no_sandbox_has_no_such_sensor(
    tmp_path: Path, scratch: DagsterInstance
) -> None:
    sensors = federation(tmp_path, scratch, sandboxes=[]).definitions.get_repository_def()
    assert {sensor.name for sensor in sensors.sensor_defs} == {SWITCH}


@pytest.mark.slow
def test_a_confined_hospital_looks_behind_its_walls_into_a_sealed_store(
    places: Path, scratch: DagsterInstance
) -> None:
    require_root()
    folder = places / "confined"
    folder.mkdir(mode=0o755)
    place = federation(folder, scratch, sandboxes=["eyes_off"])
    for path in (folder / "pictures").rglob("*"):
        path.chmod(0o755 if path.is_dir() else 0o644)
    (folder / "pictures").chmod(0o755)
    assert asked(place.tick("north")).partition_key == "eyes_off"
    store = place.settings.home.store("north", "eyes_off")
    assert is_sealed(store / SEEN)
    assert store.stat().st_uid != os.geteuid()
