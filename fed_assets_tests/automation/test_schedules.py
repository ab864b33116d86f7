from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from dagster import (
    DagsterInstance,
    DagsterRunStatus,
    DefaultScheduleStatus,
    RunRequest,
    ScheduleDefinition,
    build_schedule_context,
)
from dagster._core.definitions.schedule_definition import ScheduleExecutionData
from dagster._core.errors import ScheduleExecutionError
from dagster._core.scheduler.instigation import InstigatorStatus

from fed_assets.automation.runs import WHY_TAG
from fed_assets.automation.switch import OFF, SWITCH
from fed_assets.errors import RosterError, StorageError
from fed_assets.federation.asked import asked
from fed_assets.federation.code_version import package_digest
from fed_assets.federation.revocations import reinstate, revoke
from fed_assets.federation.roster import read_roster
from fed_assets.federation.withdrawals import rejoin, withdraw
from fed_assets.resources.artifact_store import write_whole
from fed_assets.resources.earlier_runs import TRY_TAG
from fed_assets.sandboxes.presets import find_sandbox
from fed_assets_tests.automation.conftest import HOSPITALS, Federation, federation
from fed_assets_tests.lineages import lineage, put_lineage, round_of

SUNDAYS = {"minimal": "0 3 * * 0"}


def schedule_of(place: Federation, name: str = "retrain_minimal") -> ScheduleDefinition:
    return place.definitions.get_repository_def().get_schedule_def(name)


def tick(place: Federation, at: datetime) -> ScheduleExecutionData:
    repository = place.definitions.get_repository_def()
    with build_schedule_context(
        instance=place.instance, scheduled_execution_time=at, repository_def=repository
    ) as context:
        return schedule_of(place).evaluate_tick(context)


def test_a_tick_asks_for_one_training_of_its_sandbox(
    tmp_path: Path, scratch: DagsterInstance
) -> None:
    place = federation(tmp_path, scratch, schedule=SUNDAYS, timezone="Europe/Berlin")
    at = datetime(2026, 1, 4, 2, 0, tzinfo=UTC)
    (request,) = tick(place, at).run_requests or []
    assert request.run_key == "minimal 2026-01-04T02:00:00+00:00"
    assert request.tags["dagster/partition"] == "minimal"
    schedule = schedule_of(place)
    assert (schedule.job_name, schedule.default_status, schedule.execution_timezone) == (
        "take_up_new_images",
        DefaultScheduleStatus.RUNNING,
        "Europe/Berlin",
    )
    assert schedule.description


def test_while_the_one_switch_is_off_a_schedule_asks_for_nothing_and_says_why(
    tmp_path: Path, scratch: DagsterInstance
) -> None:
    place = federation(tmp_path, scratch, schedule=SUNDAYS)
    at = datetime(2026, 1, 4, 3, 0, tzinfo=UTC)
    place.switch(SWITCH, InstigatorStatus.STOPPED)
    off = tick(place, at)
    assert not off.run_requests
    assert off.skip_message == OFF
    place.switch(SWITCH, InstigatorStatus.RUNNING)
    assert len(tick(place, at).run_requests or []) == 1


def test_while_a_run_of_the_sandbox_is_going_none_is_asked_for(
    tmp_path: Path, scratch: DagsterInstance
) -> None:
    place = federation(tmp_path, scratch, schedule=SUNDAYS)
    going = place.note_run(DagsterRunStatus.STARTED)
    ticked = tick(place, datetime(2026, 1, 4, 3, 0, tzinfo=UTC))
    assert not ticked.run_requests
    assert f"Run {going.run_id[:8]} of minimal is under way" in (ticked.skip_message or "")


def trained(place: Federation, status: DagsterRunStatus = DagsterRunStatus.SUCCESS) -> Path:
    """Notes a run that trained as the roster asks for now, and returns where its lineage lies."""
    run, home = place.note_run(status, job="retrain"), place.settings.home
    roster = read_roster(place.settings.roster)
    wanted = asked(roster, find_sandbox("minimal", configurable=place.settings.configurable))
    record = lineage(
        run.run_id,
        rounds=[round_of(each + 1, HOSPITALS) for each in range(roster.rounds)],
        controls=wanted["controls"]["values"],
        numbers=wanted["controls"]["numbers"],
        threshold={"value": roster.threshold, "hospitals": 0},
        seed=roster.seeds[0],
    )
    record |= {"network": wanted["network"], "recipe": wanted["recipe"]}
    record["code"]["digest"] = package_digest()
    put_lineage(home, record)
    values = {
        "evaluation_report": {"tracked": {"run_id": run.run_id}},
        "federation_roster": {
            "digest": record["data"]["digest"],
            "participants": list(HOSPITALS),
        },
    }
    for asset, value in values.items():
        write_whole(home.artifacts / asset / "minimal.json", json.dumps(value).encode())
    return home.lineage / f"{run.run_id}.json"


def test_where_nothing_changed_since_the_last_run_it_says_so_and_trains_nothing(
    tmp_path: Path, scratch: DagsterInstance
) -> None:
    place = federation(tmp_path, scratch, schedule=SUNDAYS)
    run = trained(place).stem
    ticked = tick(place, datetime(2026, 1, 4, 3, 0, tzinfo=UTC))
    assert not ticked.run_requests
    assert f"Nothing has changed since run {run[:8]} of minimal" in (ticked.skip_message or "")
    assert "--job retrain --seed N" in (ticked.skip_message or "")


@pytest.mark.parametrize(
    "change",
    [
        {"code": {"version": "0.1.0", "digest": "other"}},
        {"seed": 7},
        {"network": {"_target_": "monai.networks.nets.DenseNet121"}},
        {"recipe": {"learning_rate": 0.1}},
        {"rounds": []},
        {"threshold": {"value": 0.7, "hospitals": 0}},
        {"controls": {"transport": "mtls"}},
        {"roster": [{"id": "north"}]},
        {"degraded": True},
    ],
    ids=lambda change: next(iter(change)),
)
def test_whatever_changed_since_the_last_run_is_trained_on(
    tmp_path: Path, scratch: DagsterInstance, change: dict[str, Any]
) -> None:
    place = federation(tmp_path, scratch, schedule=SUNDAYS)
    path = trained(place)
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    assert len(tick(place, datetime(2026, 1, 4, 3, 0, tzinfo=UTC)).run_requests or []) == 1


def test_new_images_a_failed_run_and_a_hospital_that_is_kept_out_are_changes(
    tmp_path: Path, scratch: DagsterInstance
) -> None:
    place = federation(tmp_path, scratch, schedule=SUNDAYS)
    at = datetime(2026, 1, 4, 3, 0, tzinfo=UTC)
    trained(place)
    admitted = place.settings.home.artifacts / "federation_roster" / "minimal.json"
    before = admitted.read_bytes()
    admitted.write_text(json.dumps({"digest": "of other images", "participants": HOSPITALS}))
    assert len(tick(place, at).run_requests or []) == 1
    admitted.write_bytes(before)
    assert not tick(place, at).run_requests
    revoke(place.settings.home.revocations, "east")
    assert len(tick(place, at).run_requests or []) == 1
    reinstate(place.settings.home.revocations, "east")
    trained(place, DagsterRunStatus.FAILURE)
    assert len(tick(place, at).run_requests or []) == 1


def asked_for(place: Federation) -> RunRequest:
    """Returns the one request of a tick."""
    (request,) = tick(place, datetime(2026, 1, 4, 3, 0, tzinfo=UTC)).run_requests or []
    return request


def test_with_the_hospitals_that_were_let_in_last_it_asks_for_a_training_alone(
    tmp_path: Path, scratch: DagsterInstance
) -> None:
    place = federation(tmp_path, scratch, schedule=SUNDAYS)
    trained(place, DagsterRunStatus.FAILURE)
    request = asked_for(place)
    repository = place.definitions.get_repository_def()
    retrained = repository.get_job("retrain").asset_layer.executable_asset_keys
    assert {*(request.asset_selection or ())} == retrained
    assert "federation_roster" not in {key.to_user_string() for key in retrained}
    assert TRY_TAG in request.tags
    assert WHY_TAG not in request.tags


def test_after_a_withdrawal_it_asks_for_all_images_anew_and_says_so(
    tmp_path: Path, scratch: DagsterInstance
) -> None:
    place = federation(tmp_path, scratch, schedule=SUNDAYS)
    trained(place)
    withdrawals = place.settings.home.withdrawals
    withdraw(withdrawals, "east", by="Ada", because="its board said so")
    request = asked_for(place)
    assert request.asset_selection is None
    assert request.tags[WHY_TAG] == (
        "all images anew: the last run let in east, to be left out now"
    )
    revoke(place.settings.home.revocations, "east")  # as `forget` does too
    assert request.tags == asked_for(place).tags

    # The run that follows lets in the others, with whom a training alone succeeds from then on.
    admitted = place.settings.home.artifacts / "federation_roster" / "minimal.json"
    admitted.write_text(json.dumps({"digest": "of others", "participants": ["north", "south"]}))
    assert asked_for(place).asset_selection
    rejoin(withdrawals, "east", by="Ada", because="its board changed its mind")
    reinstate(place.settings.home.revocations, "east")
    again = asked_for(place)
    assert again.asset_selection is None
    assert again.tags[WHY_TAG] == "all images anew: the last run did not let in east"


def test_where_nobody_was_ever_let_in_it_asks_for_all_images(
    tmp_path: Path, scratch: DagsterInstance
) -> None:
    place = federation(tmp_path, scratch, schedule=SUNDAYS)
    request = asked_for(place)
    assert request.asset_selection is None
    assert request.tags[WHY_TAG] == "all images anew: no run has let anybody in yet"


def test_where_nobody_can_tell_who_withdrew_nothing_is_asked_for(
    tmp_path: Path, scratch: DagsterInstance
) -> None:
    place = federation(tmp_path, scratch, schedule=SUNDAYS)
    withdrawals = place.settings.home.withdrawals
    withdrawals.parent.mkdir(exist_ok=True)
    withdrawals.write_text("[")
    with pytest.raises(ScheduleExecutionError) as refusal:
        tick(place, datetime(2026, 1, 4, 3, 0, tzinfo=UTC))
    assert isinstance(refusal.value.__cause__, StorageError)


def test_without_a_time_there_is_no_schedule(fresh: Federation) -> None:
    assert fresh.definitions.get_repository_def().schedule_defs == []


@pytest.mark.parametrize(
    ("automation", "said"),
    [
        ({"schedule": {"minimal": "every sunday"}}, "is not one that cron knows"),
        ({"schedule": {"minimal": "61 3 * * *"}}, "is not one that cron knows"),
        ({"schedule": {"eyes_shut": "0 3 * * 0"}}, "eyes_shut is no sandbox; they are minimal, "),
        ({"sandboxes": ["eyes_shut"]}, "eyes_shut is no sandbox; they are minimal, "),
        ({"sandboxes": ["minimal", "minimal"]}, "sandboxes names one of them twice"),
        ({"timezone": "Europe/Atlantis"}, "Europe/Atlantis is no time zone"),
        ({"look_every_seconds": 1}, "greater than or equal to 5"),
        ({"look_every_second": 60}, "Did you mean `look_every_seconds`?"),
        ({"try_again_after_seconds": -1}, "greater than or equal to 0"),
        ({"fresh_within_days": 0}, "greater than 0"),
    ],
)
def test_what_cannot_be_used_is_refused_in_plain_words(
    tmp_path: Path, scratch: DagsterInstance, automation: dict[str, Any], said: str
) -> None:
    with pytest.raises(RosterError) as refusal:
        federation(tmp_path, scratch, **automation)
    assert said in str(refusal.value)
    assert "automation" in str(refusal.value)
