"""Dagster's real daemon over three small hospitals: what a file that is dropped comes to.

Nobody is at the keyboard: the one switch is switched on, and from then on only files change.
"""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator

import pytest
from dagster import DagsterRunStatus

from fed_assets.automation.runs import WHY_TAG
from fed_assets.automation.sensors import sensor_name
from fed_assets.automation.switch import SWITCH
from fed_assets.automation.tries import TRY_AGAIN
from fed_assets.federation.provision import free_port
from fed_assets.federation.roster import read_roster
from fed_assets.resources import jobs
from fed_assets.resources.earlier_runs import TRY_TAG
from fed_assets_tests.automation.pictures import damaged, draw
from fed_assets_tests.automation.unattended import (
    HOSPITALS,
    RUN_SECONDS,
    Unattended,
    the_daemon,
    three_hospitals,
)
from fed_assets_tests.places import LIFECYCLE

pytestmark = pytest.mark.long
# After as long, a run that must not be tried again would have been: sensors look every 5 seconds.
TRY_AGAIN_SECONDS = 10.0


@pytest.fixture(scope="module")
def unattended(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Unattended]:
    """Yields three hospitals that trained once by hand, with unattended retraining on."""
    folder = tmp_path_factory.mktemp("unattended")
    port = free_port()
    place, pictures = three_hospitals(folder, port=port, try_again_after_seconds=TRY_AGAIN_SECONDS)
    by_hand = place.start(*LIFECYCLE)
    told, errors = by_hand.communicate(timeout=RUN_SECONDS)
    assert by_hand.returncode == 0, told + errors
    with the_daemon(folder, place, pictures) as unattended:
        unattended.switch(SWITCH, "start")
        yield unattended


def test_nothing_new_asks_for_nothing(unattended: Unattended) -> None:
    assert unattended.looked(sensor_name("north"), 2)[0] == "north in minimal: nothing is new."
    assert unattended.runs() == []


def test_a_dropped_file_ends_in_a_new_model_and_its_own_lane_alone_is_run(
    unattended: Unattended,
) -> None:
    before, _ = unattended.last("global_model")
    runs = unattended.runs()
    draw(unattended.pictures / "north" / "normal" / "dropped.png", 0, 4242)

    run = unattended.next_run(runs)

    assert run.status is DagsterRunStatus.SUCCESS, unattended.failures(run)
    assert unattended.made_in(run) == {
        *("north/images", "north/validated_images", "federation_roster"),
        *(f"{name}/local_rounds" for name in HOSPITALS),
        *("global_model", "evaluation_report", "registered_model", "deployed_model"),
    }
    trained_in, _ = unattended.last("global_model")
    assert trained_in == run.run_id != before
    _, roster = unattended.last("federation_roster")
    assert roster["lanes_reused"] == "east, south"
    assert roster["saved_seconds"] > 0
    _, images = unattended.last("north", "images")
    assert images["images"] == 81


def test_a_damaged_file_ends_in_a_clear_refusal_that_is_not_repeated(
    unattended: Unattended,
) -> None:
    model, _ = unattended.last("global_model")
    runs = unattended.runs()
    file = damaged(unattended.pictures / "east" / "normal" / "dropped.png")

    run = unattended.next_run(runs)

    assert run.status is DagsterRunStatus.FAILURE
    roster = json.loads(
        (unattended.place.home.artifacts / "federation_roster" / "minimal.json").read_text()
    )
    assert "Every image can be decoded, and 1 of 81 fail" in roster["excluded"]["east"]
    assert unattended.last("global_model")[0] == model
    said = unattended.looked(sensor_name("east"), 4)
    assert f"run {run.run_id[:8]} was to take it up and failed of what does not pass" in said[0]
    assert [each.run_id for each in unattended.runs()[len(runs) :]] == [run.run_id]

    file.unlink()
    mended = unattended.next_run([*runs, run])
    assert mended.status is DagsterRunStatus.SUCCESS, unattended.failures(mended)
    assert unattended.last("global_model")[0] == mended.run_id


def test_hospitals_that_change_at_once_train_once(unattended: Unattended) -> None:
    runs = unattended.runs()
    for at, name in enumerate(("south", "north")):
        draw(unattended.pictures / name / "opacity_1" / "together.png", 1, 5000 + at)

    run = unattended.next_run(runs)

    assert run.status is DagsterRunStatus.SUCCESS
    assert {"north/images", "south/images"} <= unattended.made_in(run)
    assert "east/images" not in unattended.made_in(run)
    unattended.looked(sensor_name("south"), 2)
    assert [each.run_id for each in unattended.runs()[len(runs) :]] == [run.run_id]
    # Runs took along all that follows a model, so that the conditions asked for none of their own.
    asked = {each.job_name for each in unattended.instance.get_runs()}
    assert asked == {jobs.LIFECYCLE, jobs.NEW_IMAGES}


def test_a_run_that_failed_as_a_port_was_taken_is_tried_again_and_ends_in_a_new_model(
    unattended: Unattended,
) -> None:
    runs = unattended.runs()
    roster = read_roster(unattended.place.home.root.parent / "roster.yaml")
    with socket.create_server(("127.0.0.1", roster.federation.port)):
        draw(unattended.pictures / "north" / "normal" / "before_it_passed.png", 0, 4343)
        failed = unattended.next_run(runs)
    assert failed.status is DagsterRunStatus.FAILURE
    assert f"Port {roster.federation.port}" in unattended.failures(failed)

    run = unattended.next_run([*runs, failed])

    assert run.status is DagsterRunStatus.SUCCESS, unattended.failures(run)
    assert (failed.tags[TRY_TAG], run.tags[TRY_TAG]) == ("1", "2")
    assert run.tags[WHY_TAG] == f"try 2 of 3, as run {failed.run_id[:8]} failed"
    assert unattended.last("global_model")[0] == run.run_id
    unattended.looked(TRY_AGAIN, 2)
    assert [each.run_id for each in unattended.runs()[len(runs) :]] == [failed.run_id, run.run_id]
