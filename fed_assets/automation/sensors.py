"""One sensor per hospital, which asks for a run when the hospital's images differ.

While the one switch of all is off they look at nothing (see `switch`). Whether images of a hospital
are taken up by themselves is besides that hospital's to decide, so each has a sensor, and with it a
switch in Dagster's pages, of its own. Where several hospitals change at once they still train once:
the sensor that comes first looks at the others that nobody switched off, and asks for one run with
all the lanes that differ; the others then find nothing new.

A request bears what it takes up: of each hospital, the last time that its images were taken up, and
the digest of its source. These sensors never ask for the same change of the same images twice,
however its run ended; the same images after others are asked for again, as they should be. A run
that failed is asked for again by a sensor of its own, if at all (see `tries`).

Schedules ask for trainings on the images as they stand, sensors for what changed, and conditions
(see `conditions`) for what follows a model that was trained. None asks while a run of the sandbox
is under way.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from contextlib import closing, suppress
from typing import Any

from dagster import (
    DagsterRunStatus,
    DefaultSensorStatus,
    RunRequest,
    SensorDefinition,
    SensorEvaluationContext,
    SensorResult,
    SkipReason,
    sensor,
)

from fed_assets.automation.changes import Looking
from fed_assets.automation.failures import try_of
from fed_assets.automation.runs import lane_tag, lanes_of, last_training, under_way
from fed_assets.automation.selections import with_lanes
from fed_assets.automation.switch import OFF, SWITCH, is_on, switched_off
from fed_assets.federation.roster import Hospital, Roster
from fed_assets.resources.dead_runs import bury_dead_runs
from fed_assets.resources.earlier_runs import TRY_TAG
from fed_assets.resources.hospital_runner import LocalHospitalRunner
from fed_assets.resources.jobs import NEW_IMAGES
from fed_assets.resources.settings import Settings

# Where files come in without a pause, they are taken up all the same after as many looks; what is
# half-written then is left out of that run.
MOST_WAITS = 10
# Dagster ends a tick after a minute.
OTHERS_TOGETHER_SECONDS = 15.0


def sensor_name(hospital: str) -> str:
    """Returns the name of a hospital's sensor."""
    return f"{hospital}_new_images"


def build_sensors(
    roster: Roster, settings: Settings, open_runner: Callable[[], LocalHospitalRunner]
) -> list[SensorDefinition]:
    """Returns a sensor per hospital that is looked at; none if the roster automates no sandbox."""
    if not roster.automation.sandboxes:
        return []
    return [_build(hospital, roster, settings, open_runner) for hospital in _looked_at(roster)]


def _looked_at(roster: Roster) -> list[Hospital]:
    """Returns all hospitals but those in Azure ML, where each look would be a job."""
    return [hospital for hospital in roster.hospitals if hospital.azure_ml is None]


def _build(
    hospital: Hospital,
    roster: Roster,
    settings: Settings,
    open_runner: Callable[[], LocalHospitalRunner],
) -> SensorDefinition:
    @sensor(
        name=sensor_name(hospital.id),
        job_name=NEW_IMAGES,
        default_status=DefaultSensorStatus.RUNNING,
        minimum_interval_seconds=roster.automation.look_every_seconds,
        tags={"hospital": hospital.id},
        description=f"Asks for a run when images of {hospital.name} are new, changed or removed: "
        "of its own lane, and the training. The hospital looks, and tells counts alone. Only while "
        f"{SWITCH} is on.",
    )
    def new_images(context: SensorEvaluationContext) -> SensorResult | SkipReason:
        if not is_on(context.instance):
            return SkipReason(OFF)
        bury_dead_runs(context.instance, settings.home)
        waits = _waits(context.cursor)
        requests, said, left = [], [], {}
        for sandbox in roster.automation.sandboxes:
            if run := under_way(context.instance, sandbox):
                said.append(_later(run.run_id, sandbox))
                left[sandbox] = waits.get(sandbox, 0)
                continue
            patient = waits.get(sandbox, 0) < MOST_WAITS
            with closing(open_runner()) as runner:
                looking = Looking(roster, settings, context.instance, sandbox, runner)
                look = looking.look(hospital, own=True, patient=patient)
                said.append(look.said)
                if look.waits:
                    left[sandbox] = waits.get(sandbox, 0) + 1
                if look.change is not None:
                    changes = {**_left_over(looking), hospital.id: look.change}
                    changes |= _others(looking, hospital)
                    requests.append(_request(context, hospital.id, sandbox, changes))
        return SensorResult(
            run_requests=requests,
            skip_reason=None if requests else " ".join(said),
            cursor=json.dumps({name: count for name, count in left.items() if count}),
        )

    return new_images


def _later(run: str, sandbox: str) -> str:
    return (
        f"Run {run[:8]} of {sandbox} is under way; what is new is taken up by a later look, when "
        "it has ended."
    )


def _left_over(looking: Looking) -> dict[str, str]:
    """Returns what a run was to take up that failed, and whose place another one takes now."""
    last = last_training(looking.instance, looking.sandbox)
    if last is None or last.status is not DagsterRunStatus.FAILURE or try_of(last) is None:
        return {}
    known = {each.id for each in _not_switched_off(looking)}
    return {name: change for name, change in lanes_of(last).items() if name in known}


def _not_switched_off(looking: Looking) -> list[Hospital]:
    off = switched_off(looking.instance)
    return [each for each in _looked_at(looking.roster) if sensor_name(each.id) not in off]


def _others(looking: Looking, hospital: Hospital) -> dict[str, str]:
    """Returns the changes of the other hospitals that nobody switched off.

    Those that there is no time to look at change the model in a run of their own.
    """
    until = time.monotonic() + OTHERS_TOGETHER_SECONDS
    found = {}
    for other in _not_switched_off(looking):
        if other.id != hospital.id and time.monotonic() < until:
            change = looking.look(other, own=False).change
            if change is not None:
                found[other.id] = change
    return found


def _request(
    context: SensorEvaluationContext, hospital: str, sandbox: str, changes: Mapping[str, str]
) -> RunRequest:
    """Returns the request of one run of a sandbox, with the lanes of the hospitals that changed."""
    return RunRequest(
        run_key=" ".join([hospital, sandbox, *(changes[name] for name in sorted(changes))]),
        partition_key=sandbox,
        asset_selection=with_lanes(context.repository_def, context.instance, sandbox, changes),
        tags={TRY_TAG: "1", **{lane_tag(name): change for name, change in changes.items()}},
    )


def _waits(cursor: str | None) -> dict[str, Any]:
    """Returns how many looks in a row each sandbox waited for files; none, if nobody knows."""
    with suppress(ValueError):
        found = json.loads(cursor or "{}")
        return found if isinstance(found, dict) else {}
    return {}
