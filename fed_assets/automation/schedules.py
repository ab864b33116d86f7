"""One schedule per sandbox that the roster names a time for: it trains anew, if the switch is on.

Where nothing changed since the last training it does not: the same images, seed and code give the
same weights, and where privacy is differential each training spends of the hospitals' budgets.

Where those who are to take part are others than were let in last, such as after a withdrawal, a
training alone would be refused or go on without them: every hospital's images are then taken up
too. Both are of one job, as Dagster's schedules have one each.
"""

from __future__ import annotations

from dagster import (
    DagsterInvalidDefinitionError,
    DefaultScheduleStatus,
    RunRequest,
    ScheduleDefinition,
    ScheduleEvaluationContext,
    SkipReason,
    schedule,
)

from fed_assets.automation.changed_hospitals import hospitals_changed
from fed_assets.automation.runs import WHY_TAG, under_way
from fed_assets.automation.selections import training_alone
from fed_assets.automation.switch import OFF, SWITCH, is_on
from fed_assets.automation.unchanged import nothing_changed_since
from fed_assets.errors import RosterError
from fed_assets.federation.roster import Roster
from fed_assets.resources.earlier_runs import TRY_TAG
from fed_assets.resources.jobs import NEW_IMAGES
from fed_assets.resources.settings import Settings


def schedule_name(sandbox: str) -> str:
    """Returns the name of a sandbox's schedule."""
    return f"retrain_{sandbox}"


def build_schedules(roster: Roster, settings: Settings) -> list[ScheduleDefinition]:
    """Returns a schedule per sandbox of the roster's `automation.schedule`.

    Raises:
        RosterError: a time is not one that cron knows.
    """
    times = roster.automation.schedule
    return [_build(sandbox, cron, roster, settings) for sandbox, cron in times.items()]


def _build(sandbox: str, cron: str, roster: Roster, settings: Settings) -> ScheduleDefinition:
    def retrain(context: ScheduleEvaluationContext) -> RunRequest | SkipReason:
        if not is_on(context.instance):
            return SkipReason(OFF)
        if run := under_way(context.instance, sandbox):
            return SkipReason(f"Run {run.run_id[:8]} of {sandbox} is under way, and trains.")
        if last := nothing_changed_since(roster, settings, context.instance, sandbox):
            return SkipReason(
                f"Nothing has changed since run {last[:8]} of {sandbox}: the same images, "
                "hospitals, recipe, controls and code, of which no better model would come. "
                f"`fed-assets run {sandbox} --job retrain --seed N` trains with another seed."
            )
        at = context.scheduled_execution_time.isoformat()
        changed = hospitals_changed(roster, settings, sandbox)
        return RunRequest(
            run_key=f"{sandbox} {at}",
            partition_key=sandbox,
            asset_selection=None if changed else training_alone(context.repository_def),
            tags={TRY_TAG: "1", **({WHY_TAG: f"all images anew: {changed}"} if changed else {})},
        )

    try:
        return schedule(
            name=schedule_name(sandbox),
            job_name=NEW_IMAGES,
            cron_schedule=cron,
            execution_timezone=roster.automation.timezone,
            default_status=DefaultScheduleStatus.RUNNING,
            description=f"Trains {sandbox} anew on the images that were validated last, if "
            "anything changed, and on all images anew if other hospitals are to take part than "
            f"were let in last. Only while {SWITCH} is on.",
        )(retrain)
    except DagsterInvalidDefinitionError:
        raise RosterError(
            f"The roster's time for {sandbox} is not one that cron knows",
            where=f"automation.schedule.{sandbox}",
            seen=cron,
            cure='Write minute, hour, day, month and weekday, such as "0 3 * * 0" for Sundays at '
            "three o'clock",
        ) from None
