"""Three hospitals with folders of pictures, in a home where no run is needed to tick a sensor."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from dagster import (
    AssetKey,
    AssetMaterialization,
    DagsterInstance,
    DagsterRun,
    DagsterRunStatus,
    Definitions,
    build_sensor_context,
)
from dagster._core.definitions.run_request import InstigatorType
from dagster._core.definitions.sensor_definition import SensorExecutionData
from dagster._core.remote_origin import (
    RegisteredCodeLocationOrigin,
    RemoteInstigatorOrigin,
    RemoteJobOrigin,
    RemoteRepositoryOrigin,
)
from dagster._core.scheduler.instigation import InstigatorState, InstigatorStatus

from fed_assets.assets.reused_lanes import LANE
from fed_assets.automation.sensors import sensor_name
from fed_assets.automation.switch import SWITCH
from fed_assets.definitions import build_definitions
from fed_assets.federation.roster import read_roster
from fed_assets.hospital.files import Store
from fed_assets.hospital.images import prepare_images
from fed_assets.resources.home import Home
from fed_assets.resources.image_task import image_arguments
from fed_assets.resources.jobs import NEW_IMAGES
from fed_assets.resources.settings import Settings
from fed_assets_tests.automation.pictures import hospital
from fed_assets_tests.networks import SMALL_RESNET

HOSPITALS = ("north", "east", "south")
LANES = [f"{name}/{step}" for name in HOSPITALS for step in ("images", "validated_images")]
ORIGIN = RemoteRepositoryOrigin(RegisteredCodeLocationOrigin("fed_assets"), "__repository__")


@dataclass
class Federation:
    """A scratch home, and its sensors.

    Attributes:
        folder: Of all.
        definitions: The platform.
        instance: Dagster's.
        settings: Where the home is.
    """

    folder: Path
    definitions: Definitions
    instance: DagsterInstance
    settings: Settings

    @property
    def pictures(self) -> Path:
        return self.folder / "pictures"

    def tick(self, name: str, cursor: str | None = None) -> SensorExecutionData:
        """Returns what a tick of a hospital's sensor comes to."""
        return self.tick_of(sensor_name(name), cursor)

    def tick_of(self, sensor_name: str, cursor: str | None = None) -> SensorExecutionData:
        """Returns what a tick of the sensor of a name comes to."""
        repository = self.definitions.get_repository_def()
        sensor = repository.get_sensor_def(sensor_name)
        with build_sensor_context(
            instance=self.instance, repository_def=repository, cursor=cursor
        ) as context:
            return sensor.evaluate_tick(context)

    def take_up(self, *hospitals: str) -> None:
        """Has hospitals prepare their images, as a run's lanes do, and notes that they ran."""
        roster = read_roster(self.settings.roster)
        for each in roster.hospitals:
            if each.id in hospitals:
                store = Store(self.settings.home.store(each.id, "minimal"), each.id)
                cache = self.settings.home.cache
                prepare_images(image_arguments(roster, each, data=None, cache=cache), store)
                for step in LANE:
                    made = AssetMaterialization(AssetKey([each.id, step]), partition="minimal")
                    self.instance.report_runless_asset_event(made)

    def note_run(
        self,
        status: DagsterRunStatus,
        job: str = NEW_IMAGES,
        tags: Mapping[str, str] | None = None,
    ) -> DagsterRun:
        """Notes a run of the sandbox, as if it had been asked for."""
        run = DagsterRun(
            job_name=job,
            status=status,
            tags={"dagster/partition": "minimal", **(tags or {})},
            remote_job_origin=RemoteJobOrigin(ORIGIN, job),
        )
        self.instance.add_run(run)
        return run

    def switch(self, name: str, status: InstigatorStatus) -> None:
        """Switches a sensor on or off, as the pages do, or leaves that to the code."""
        state = InstigatorState(RemoteInstigatorOrigin(ORIGIN, name), InstigatorType.SENSOR, status)
        known = {each.instigator_name for each in self.instance.all_instigator_state()}
        if name in known:
            self.instance.update_instigator_state(state)
        else:
            self.instance.add_instigator_state(state)


def entries(folder: Path, **automation: Any) -> dict[str, Any]:
    """Returns the entries of a roster of hospitals with pictures, after drawing these."""
    return {
        "title": "Three small hospitals",
        "data": {"source": {"kind": "phantom", "images": 60, "test_images": 40, "size": 28}},
        "hospitals": [
            hospital(folder / "pictures", name, images=60, seed=at)
            for at, name in enumerate(HOSPITALS)
        ],
        "network": SMALL_RESNET,
        "automation": {"settle_seconds": 0.0, **automation},
    }


def federation(folder: Path, instance: DagsterInstance, **automation: Any) -> Federation:
    """Returns a home whose hospitals' pictures are drawn, with unattended retraining on."""
    roster = folder / "roster.yaml"
    roster.write_text(yaml.safe_dump(entries(folder, **automation)))
    settings = Settings(home=Home(folder / "home").prepare(), roster=roster)
    place = Federation(folder, build_definitions(settings, read_roster(roster)), instance, settings)
    place.switch(SWITCH, InstigatorStatus.RUNNING)
    return place


def thrown_away(folder: Path) -> DagsterInstance:
    """Returns an instance of Dagster's with all its storage in a folder."""
    return DagsterInstance.local_temp(str(folder), overrides={"telemetry": {"enabled": False}})


@pytest.fixture
def scratch(tmp_path: Path) -> Iterator[DagsterInstance]:
    """Yields an instance of Dagster's that is thrown away."""
    with thrown_away(tmp_path) as instance:
        yield instance


@pytest.fixture
def fresh(tmp_path: Path, scratch: DagsterInstance) -> Federation:
    """Returns hospitals of which nothing was ever taken up."""
    return federation(tmp_path, scratch)


@pytest.fixture
def taken_up(fresh: Federation) -> Federation:
    """Returns hospitals whose images were taken up, and have not changed since."""
    fresh.take_up(*HOSPITALS)
    return fresh
