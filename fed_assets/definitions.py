"""The wiring: environment, roster, assets, jobs and resources."""

from __future__ import annotations

import atexit
import gc
import os
from pathlib import Path

from dagster import Definitions, in_process_executor

from fed_assets.assets.comparison import build_comparison_asset
from fed_assets.assets.deployment import build_deployment_asset
from fed_assets.assets.evaluation import build_evaluation_asset
from fed_assets.assets.hospital import build_hospital_lane
from fed_assets.assets.membership import build_membership_asset
from fed_assets.assets.posture import build_posture_asset
from fed_assets.assets.reference import build_reference_asset
from fed_assets.assets.registry import build_registry_asset
from fed_assets.assets.roster import build_roster_asset
from fed_assets.assets.sandbox import build_sandbox_asset
from fed_assets.assets.training import build_training_assets
from fed_assets.automation.conditions import automated
from fed_assets.automation.jobs import JOBS
from fed_assets.automation.schedules import build_schedules
from fed_assets.automation.sensors import build_sensors
from fed_assets.automation.switch import build_switch
from fed_assets.automation.tries import build_tries
from fed_assets.federation.roster import Roster, read_roster
from fed_assets.resources.artifact_store import artifacts_of
from fed_assets.resources.federation import LocalFederation
from fed_assets.resources.mixed_runner import MixedHospitalRunner
from fed_assets.resources.quick_tables import write_quickly
from fed_assets.resources.sandboxes import Sandboxes
from fed_assets.resources.settings import Settings, settings_from
from fed_assets.resources.source_location import source_paths
from fed_assets.resources.tracking import Tracking


def build_definitions(settings: Settings, roster: Roster) -> Definitions:
    """Returns the whole platform for one home and one roster."""
    lanes = [build_hospital_lane(hospital, roster, settings) for hospital in roster.hospitals]
    home = settings.home
    platform = Definitions(
        assets=[
            build_sandbox_asset(roster),
            *(asset for lane in lanes for asset in lane),
            build_roster_asset(roster, settings),
            build_training_assets(roster, home),
            build_evaluation_asset(roster, settings),
            build_registry_asset(roster, settings),
            build_deployment_asset(settings),
            build_posture_asset(roster, settings),
            build_reference_asset(roster, settings),
            build_membership_asset(settings),
            build_comparison_asset(roster, settings),
        ],
        jobs=list(JOBS),
        sensors=[
            build_switch(),
            *build_sensors(roster, settings, lambda: _runner(roster, settings)),
            *build_tries(roster, settings),
        ],
        schedules=build_schedules(roster, settings),
        resources={
            "io_manager": artifacts_of(home),
            "sandboxes": Sandboxes(configurable=str(settings.configurable)),
            "hospitals": _runner(roster, settings),
            "federation": LocalFederation(home_folder=str(home.root)),
            "tracking": Tracking(folder=str(home.tracking)),
        },
        # A process per step would import everything once per step: 24 CPU-seconds instead of 3.
        executor=in_process_executor,
    )
    return automated(platform, roster)


def _runner(roster: Roster, settings: Settings) -> MixedHospitalRunner:
    return MixedHospitalRunner(
        home_folder=str(settings.home.root),
        stored_on=settings.home.stored_on.value,
        hospitals=list(roster.hospital_ids),
        network=str(roster.network["_target_"]),
        configurable=str(settings.configurable),
        sources=_sources(roster, settings),
        remote=list(roster.remote_ids),
        task_timeout_seconds=roster.federation.task_timeout_seconds,
        azure_ml={
            hospital.id: hospital.azure_ml.model_dump(mode="json")
            for hospital in roster.hospitals
            if hospital.azure_ml is not None
        },
    )


def _sources(roster: Roster, settings: Settings) -> dict[str, list[str]]:
    return {
        hospital.id: source_paths(
            hospital.source or roster.data.source, data=settings.data, cache=settings.home.cache
        )
        for hospital in roster.hospitals
        # Of the others, no process of this machine reads any image.
        if hospital.azure_ml is None and not hospital.remote
    }


def load() -> Definitions:
    """Returns the platform of the home and the roster that the environment names."""
    os.umask(0o077)  # whatever this process writes is its owner's alone
    # What ends by then closes what it opened; to look through all the rest takes a second more.
    atexit.register(gc.freeze)
    settings = settings_from(os.environ, working_directory=Path.cwd())
    settings.home.prepare()
    write_quickly(settings.home.instance)
    return build_definitions(settings, read_roster(settings.roster))
