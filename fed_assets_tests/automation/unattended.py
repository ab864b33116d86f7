"""Dagster's real daemon over three small hospitals whose images are files in folders."""

from __future__ import annotations

import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
from dagster import AssetKey, AssetRecordsFilter, DagsterInstance, DagsterRun

from fed_assets.automation.sensors import sensor_name
from fed_assets.resources import jobs
from fed_assets_tests.automation.pictures import hospital
from fed_assets_tests.leftovers import seconds_until_clean
from fed_assets_tests.places import PROJECT, Place, make_place

HOSPITALS = ("north", "east", "south")
WORKSPACE = ("--workspace", "workspace.yaml")
SCHEDULE = "retrain_minimal"
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
        runs = [run for run in self.instance.get_runs() if run.job_name == jobs.NEW_IMAGES]
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
                *self.reasons(sensor_name(HOSPITALS[0]))[:3],
            ]
            time.sleep(0.5)

    def reasons(self, name: str) -> list[str]:
        """Returns why a sensor's or schedule's last ticks asked for nothing, the newest first."""
        for state in self.instance.all_instigator_state():
            if state.instigator_name == name:
                known = state.instigator_origin_id, state.selector_id
                ticks = self.instance.get_ticks(*known, limit=1000)
                ended = [tick for tick in ticks if tick.status.name in ("SKIPPED", "FAILURE")]
                return [str(tick.skip_reason or tick.error) for tick in ended]
        return []  # it never ticked

    def looked(self, name: str, times: int) -> list[str]:
        """Waits until a sensor or schedule ticked so often again, and returns what it said."""
        before = len(self.reasons(name))
        self.wait(lambda: len(self.reasons(name)) >= before + times)
        return self.reasons(name)[: len(self.reasons(name)) - before]

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

    def switch(self, name: str, way: str, kind: str = "sensor") -> None:
        """Switches a sensor or schedule; the way is `start` or `stop`, as of Dagster's command."""
        self.place.run("dagster", kind, way, name, *WORKSPACE)


def three_hospitals(folder: Path, *, port: int = 0, **automation: Any) -> tuple[Place, Path]:
    """Returns a home of three hospitals, and where their pictures are, after drawing these.

    Args:
        folder: Where.
        port: On which their federation meets; 0 asks the system for one.
        automation: What of the roster's entry of that name is other than shipped.
    """
    pictures = folder / "pictures"
    place = make_place(
        folder / "place",
        hospitals=[hospital(pictures, name, seed=at) for at, name in enumerate(HOSPITALS)],
        rounds=2,
        federation={"port": port},
        automation={"look_every_seconds": LOOK_SECONDS, "settle_seconds": 1.0, **automation},
    )
    return place, pictures


@contextmanager
def the_daemon(folder: Path, place: Place, pictures: Path) -> Iterator[Unattended]:
    """Has the daemon run, with all switches as shipped; whatever it started ends with it."""
    with (
        open(folder / "daemon.log", "wb") as log,
        DagsterInstance.from_config(str(place.home.instance)) as instance,
    ):
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
