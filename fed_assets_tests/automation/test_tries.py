"""Ticks of the sensor that asks again for what failed."""

from __future__ import annotations

from pathlib import Path

import pytest
from dagster import DagsterInstance, DagsterRun, DagsterRunStatus, RunRequest
from dagster._core.scheduler.instigation import InstigatorStatus

from fed_assets.automation.runs import WHY_TAG, lane_tag
from fed_assets.automation.schedules import schedule_name
from fed_assets.automation.sensors import sensor_name
from fed_assets.automation.switch import OFF, SWITCH
from fed_assets.automation.tries import TRY_AGAIN
from fed_assets.federation.withdrawals import withdraw
from fed_assets.resources.artifact_store import write_whole
from fed_assets.resources.earlier_runs import TRY_TAG
from fed_assets_tests.automation.conftest import HOSPITALS, Federation, federation

TRAINING = {
    "global_model",
    *("evaluation_report", "registered_model", "deployed_model"),
    *(f"{name}/local_rounds" for name in HOSPITALS),
}
NORTH = {TRY_TAG: "1", lane_tag("north"): "first-1234"}


@pytest.fixture
def at_once(tmp_path: Path, scratch: DagsterInstance) -> Federation:
    """Returns hospitals for which a failed run is asked for again at the next look."""
    place = federation(
        tmp_path, scratch, try_again_after_seconds=0, schedule={"minimal": "0 3 * * 0"}
    )
    place.take_up(*HOSPITALS)
    return place


def asked(place: Federation) -> RunRequest:
    (request,) = place.tick_of(TRY_AGAIN).run_requests or []
    return request


def nothing(place: Federation) -> str:
    tick = place.tick_of(TRY_AGAIN)
    assert not tick.run_requests
    return tick.skip_message or ""


def failed(place: Federation, **tags: str) -> DagsterRun:
    return place.note_run(DagsterRunStatus.FAILURE, tags=tags)


def assets(request: RunRequest) -> set[str]:
    return {key.to_user_string() for key in request.asset_selection or ()}


def test_what_failed_is_asked_for_again_with_its_lanes_and_at_most_three_times(
    at_once: Federation,
) -> None:
    assert nothing(at_once) == "No training of minimal has failed since its last success."
    first = failed(at_once, **NORTH)
    request = asked(at_once)
    assert request.run_key == f"{first.run_id} try 2"
    assert request.partition_key == "minimal"
    assert assets(request) == {
        *TRAINING,
        *("federation_roster", "north/images", "north/validated_images"),
    }
    assert request.tags[lane_tag("north")] == NORTH[lane_tag("north")]
    assert request.tags[TRY_TAG] == "2"
    assert request.tags[WHY_TAG] == f"try 2 of 3, as run {first.run_id[:8]} failed"
    assert asked(at_once).run_key == request.run_key  # for which Dagster starts one run

    going = at_once.note_run(DagsterRunStatus.STARTED, tags=request.tags)
    assert nothing(at_once) == f"Run {going.run_id[:8]} of minimal is under way."
    at_once.instance.report_run_failed(going)
    third = asked(at_once)
    assert (third.run_key, third.tags[TRY_TAG]) == (f"{going.run_id} try 3", "3")
    last = failed(at_once, **third.tags)
    assert nothing(at_once).startswith(
        f"Run {last.run_id[:8]} of minimal failed as try 3 of 3, so it is not asked for again: "
    )
    failed(at_once)  # by a person
    assert "failed, so it is not asked for again" in nothing(at_once)
    at_once.note_run(DagsterRunStatus.SUCCESS, job="retrain")
    assert nothing(at_once) == "No training of minimal has failed since its last success."


def test_before_its_time_and_while_anything_is_switched_off_nothing_is_asked_for(
    at_once: Federation, tmp_path: Path, scratch: DagsterInstance
) -> None:
    run = failed(at_once, **NORTH)
    at_once.switch(sensor_name("north"), InstigatorStatus.STOPPED)
    assert nothing(at_once).endswith("It is not asked for, as north_new_images is switched off.")
    at_once.switch(sensor_name("north"), InstigatorStatus.RUNNING)
    at_once.switch(SWITCH, InstigatorStatus.STOPPED)
    assert nothing(at_once) == OFF
    at_once.switch(SWITCH, InstigatorStatus.RUNNING)
    assert asked(at_once)
    folder = tmp_path / "later"
    folder.mkdir()
    later = federation(folder, scratch)  # which waits for a quarter of an hour, as shipped
    assert nothing(later).startswith(
        f"Run {run.run_id[:8]} of minimal failed; try 2 of 3 is due from 20"
    )


def test_a_schedules_training_is_asked_for_again_and_after_a_withdrawal_with_all_images(
    at_once: Federation,
) -> None:
    home = at_once.settings.home
    let_in = b'{"participants": ["north", "east", "south"]}'
    write_whole(home.artifacts / "federation_roster" / "minimal.json", let_in)
    repository = at_once.definitions.get_repository_def()
    alone = repository.get_job("retrain").asset_layer.executable_asset_keys
    at_once.instance.add_run(
        DagsterRun(
            job_name="take_up_new_images",
            status=DagsterRunStatus.FAILURE,
            tags={"dagster/partition": "minimal", TRY_TAG: "1"},
            asset_selection=frozenset(alone),
        )
    )
    assert assets(asked(at_once)) == TRAINING
    at_once.switch(schedule_name("minimal"), InstigatorStatus.RUNNING)
    withdraw(home.withdrawals, "east", by="Ada", because="its board said so")
    assert asked(at_once).asset_selection is None  # all that the job has
    failed(at_once, **asked(at_once).tags)
    assert asked(at_once).asset_selection is None


def test_without_a_sandbox_there_is_no_such_sensor(
    tmp_path: Path, scratch: DagsterInstance
) -> None:
    place = federation(tmp_path, scratch, sandboxes=[])
    assert {each.name for each in place.definitions.get_repository_def().sensor_defs} == {SWITCH}
