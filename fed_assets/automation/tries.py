"""One sensor that asks again for runs which failed of what passes (see `failures`).

Only a sandbox's last training counts: where new images came meanwhile, their run took its place,
and where a person trains, that person decides.
"""

from __future__ import annotations

import time

from dagster import (
    DefaultSensorStatus,
    RunRequest,
    SensorDefinition,
    SensorEvaluationContext,
    SensorResult,
    SkipReason,
    sensor,
)

from fed_assets.automation.changed_hospitals import hospitals_changed
from fed_assets.automation.failures import MOST_TRIES, outlook
from fed_assets.automation.runs import (
    ENDED_BADLY,
    WHY_TAG,
    lane_tag,
    lanes_of,
    last_training,
    under_way,
)
from fed_assets.automation.schedules import schedule_name
from fed_assets.automation.selections import training_alone, with_lanes
from fed_assets.automation.sensors import sensor_name
from fed_assets.automation.switch import OFF, SWITCH, is_on, switched_off
from fed_assets.federation.roster import Roster
from fed_assets.resources.dead_runs import bury_dead_runs
from fed_assets.resources.earlier_runs import TRY_TAG
from fed_assets.resources.jobs import NEW_IMAGES
from fed_assets.resources.settings import Settings

TRY_AGAIN = "try_again"


def build_tries(roster: Roster, settings: Settings) -> list[SensorDefinition]:
    """Returns the sensor; none if the roster automates no sandbox."""
    automation = roster.automation
    sandboxes = [*dict.fromkeys((*automation.sandboxes, *automation.schedule))]
    if not sandboxes:
        return []

    @sensor(
        name=TRY_AGAIN,
        job_name=NEW_IMAGES,
        default_status=DefaultSensorStatus.RUNNING,
        minimum_interval_seconds=automation.look_every_seconds,
        description="Asks again for a run that a sensor or a schedule had asked for and that "
        f"failed of what may have passed: {automation.try_again_after_seconds:g} s after its end, "
        f"and {MOST_TRIES} times in all. Only while {SWITCH} is on.",
    )
    def try_again(context: SensorEvaluationContext) -> SensorResult | SkipReason:
        if not is_on(context.instance):
            return SkipReason(OFF)
        bury_dead_runs(context.instance, settings.home)
        found = [_request(context, roster, settings, sandbox) for sandbox in sandboxes]
        requests = [each for each in found if isinstance(each, RunRequest)]
        said = " ".join(each for each in found if isinstance(each, str))
        return SensorResult(run_requests=requests, skip_reason=None if requests else said)

    return [try_again]


def _request(
    context: SensorEvaluationContext, roster: Roster, settings: Settings, sandbox: str
) -> RunRequest | str:
    """Returns the request of another try of a sandbox's last training, or why there is none."""
    instance = context.instance
    if run := under_way(instance, sandbox):
        return f"Run {run.run_id[:8]} of {sandbox} is under way."
    failed = last_training(instance, sandbox)
    if failed is None or failed.status not in ENDED_BADLY:
        return f"No training of {sandbox} has failed since its last success."
    lanes = lanes_of(failed)
    ahead = outlook(instance, failed, roster.automation.try_again_after_seconds)
    said = f"Run {failed.run_id[:8]} of {sandbox} {ahead.said}."
    if ahead.try_number is None or time.time() < ahead.at:
        return said
    askers = [sensor_name(name) for name in lanes] or [schedule_name(sandbox)]
    switched = switched_off(instance)
    if off := [name for name in askers if name in switched]:
        return f"{said} It is not asked for, as {', '.join(off)} is switched off."
    if lanes:
        selection = with_lanes(context.repository_def, instance, sandbox, lanes)
    elif failed.asset_selection and not hospitals_changed(roster, settings, sandbox):
        selection = training_alone(context.repository_def)
    else:
        selection = None
    return RunRequest(
        run_key=f"{failed.run_id} try {ahead.try_number}",
        partition_key=sandbox,
        asset_selection=selection,
        tags={
            **{lane_tag(name): change for name, change in lanes.items()},
            TRY_TAG: str(ahead.try_number),
            WHY_TAG: f"try {ahead.try_number} of {MOST_TRIES}, as run {failed.run_id[:8]} failed",
        },
    )
