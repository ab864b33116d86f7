"""Dagster's real daemon over three small hospitals: what a file that is dropped comes to.

Nobody is at the keyboard: the sensors are switched on once, and from then on only files change.
"""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest
from dagster import AssetKey, AssetRecordsFilter, DagsterInstance, DagsterRun, DagsterRunStatus

from fed_assets.resources.jobs import NEW_IMAGES
from fed_assets_tests.automation.pictures import damaged, draw, hospital
from fed_assets_tests.leftovers import seconds_until_clean
from fed_assets_tests.places import LIFECYCLE, PROJECT, Place, make_place

pytestmark = pytest.mark.long

HOSPITALS = ("north", "east", "south")
WORKSPACE = ("--workspace", "workspace.yaml")
LOOK_SECONDS = 5
RUN_SECONDS = 600


@dataclass
class Unattended:
    """A place in which the daemon looks for new images.

    Attributes:
        place: The home.
        pictures: The folder of the hospitals' folders.
        instance: Dagster's.
        daemon: The daemon's process.
    """

    place: Place
    pictures: Path
    instance: DagsterInstance
    daemon: subprocess.Popen[bytes]

    def runs(self) -> list[DagsterRun]:
        """Returns the runs that sensors asked for, the oldest first."""
        runs = [run for run in self.instance.get_runs() if run.job_name == NEW_IMAGES]
        return runs[::-1]

    def next_run(self, after: list[DagsterRun]) -> DagsterRun:
        """Waits for the end of the run that follows those."""
        self.wait(lambda: any(run.is_finished for run in self.runs()[len(after) :]))
        return self.runs()[len(after)]

    def wait(self, until: Callable[[], bool], seconds: float = RUN_SECONDS) -> None:
        end = time.monotonic() + seconds
        while not until():
            assert self.daemon.poll() is None, "the daemon ended"
            assert time.monotonic() < end, [
                *(f"{run.job_name} {run.status}" for run in self.instance.get_runs()),
                *self.reasons(HOSPITALS[0])[:3],
            ]
            time.sleep(0.5)

    def reasons(self, name: str) -> list[str]:
        """Returns why a hospital's last ticks asked for nothing, the newest first."""
        (state,) = [
            state
            for state in self.instance.all_instigator_state()
            if state.instigator_name == f"{name}_new_images"
        ]
        ticks = self.instance.get_ticks(state.instigator_origin_id, state.selector_id, limit=1000)
        ended = [tick for tick in ticks if tick.status.name in ("SKIPPED", "FAILURE")]
        return [str(tick.skip_reason or tick.error) for tick in ended]

    def made_in(self, run: DagsterRun) -> set[str]:
        """Returns the assets that a run materialized."""
        events = [event.dagster_event for event in self.instance.all_logs(run.run_id)]
        return {
            event.asset_key.to_user_string()
            for event in events
            if event is not None and event.is_step_materialization and event.asset_key is not None
        }

    def last(self, *asset: str) -> tuple[str, dict[str, Any]]:
        """Returns the run and the metadata of an asset's last materialization in the sandbox."""
        wanted = AssetRecordsFilter(AssetKey(asset), asset_partitions=[self.place.sandbox])
        (record,) = self.instance.fetch_materializations(wanted, limit=1).records
        made = record.asset_materialization
        assert made is not None
        return record.run_id, {name: value.value for name, value in made.metadata.items()}

    def failures(self, run: DagsterRun) -> str:
        events = [event.dagster_event for event in self.instance.all_logs(run.run_id)]
        return "\n".join(
            str(event.step_failure_data.user_failure_data)
            for event in events
            if event is not None and event.is_step_failure
        )


@pytest.fixture(scope="module")
def unattended(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Unattended]:
    """Yields three hospitals that trained once by hand, with their sensors switched on."""
    folder = tmp_path_factory.mktemp("unattended")
    pictures = folder / "pictures"
    place = make_place(
        folder / "place",
        hospitals=[hospital(pictures, name, seed=at) for at, name in enumerate(HOSPITALS)],
        rounds=2,
        automation={"look_every_seconds": LOOK_SECONDS, "settle_seconds": 1.0},
    )
    by_hand = place.start(*LIFECYCLE)
    told, errors = by_hand.communicate(timeout=RUN_SECONDS)
    assert by_hand.returncode == 0, told + errors
    with (
        open(folder / "daemon.log", "wb") as log,
        DagsterInstance.from_config(str(place.home.instance)) as instance,
    ):
        for name in HOSPITALS:
            place.run("dagster", "sensor", "start", f"{name}_new_images", *WORKSPACE)
        daemon = subprocess.Popen(
            [shutil.which("dagster-daemon") or "dagster-daemon", "run", *WORKSPACE],
            cwd=PROJECT,
            env=place.environment,
            stdout=log,
            stderr=log,
        )
        try:
            yield Unattended(place, pictures, instance, daemon)
        finally:
            family = psutil.Process(daemon.pid).children(recursive=True)
            daemon.send_signal(signal.SIGINT)
            daemon.wait(60)
            _, alive = psutil.wait_procs(family, timeout=30)
            for process in alive:
                process.kill()
    assert alive == []
    _, left = seconds_until_clean(place.home, within_seconds=20)
    assert left == []


def test_nothing_new_asks_for_nothing(unattended: Unattended) -> None:
    unattended.wait(lambda: len(unattended.reasons("north")) >= 2)
    assert unattended.reasons("north")[0] == "north in minimal: nothing is new."
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
    seen = len(unattended.reasons("east"))
    unattended.wait(lambda: len(unattended.reasons("east")) >= seen + 3)
    assert f"run {run.run_id[:8]} took it up and did not end well" in unattended.reasons("east")[0]
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
    seen = len(unattended.reasons("south"))
    unattended.wait(lambda: len(unattended.reasons("south")) >= seen + 2)
    assert [each.run_id for each in unattended.runs()[len(runs) :]] == [run.run_id]
