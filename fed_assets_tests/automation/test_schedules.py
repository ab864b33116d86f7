from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from dagster import (
    DagsterInstance,
    DagsterRunStatus,
    DefaultScheduleStatus,
    ScheduleDefinition,
    build_schedule_context,
)
from dagster._core.definitions.schedule_definition import ScheduleExecutionData

from fed_assets.errors import RosterError
from fed_assets_tests.automation.conftest import Federation, federation

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
        "retrain",
        DefaultScheduleStatus.STOPPED,
        "Europe/Berlin",
    )
    assert schedule.description


def test_while_a_run_of_the_sandbox_is_going_none_is_asked_for(
    tmp_path: Path, scratch: DagsterInstance
) -> None:
    place = federation(tmp_path, scratch, schedule=SUNDAYS)
    going = place.note_run(DagsterRunStatus.STARTED)
    ticked = tick(place, datetime(2026, 1, 4, 3, 0, tzinfo=UTC))
    assert not ticked.run_requests
    assert f"Run {going.run_id[:8]} of minimal is under way" in (ticked.skip_message or "")


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
