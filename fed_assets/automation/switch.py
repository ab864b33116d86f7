"""The one switch of all unattended retraining, which is off until a person switches it on.

It is a sensor, as those are what Dagster's pages have switches for: the one that evaluates the
conditions (see `conditions`). The hospitals' sensors and the schedules are on as shipped, and look
at this one first: while it is off they say so, look at nothing and ask for nothing. So a hospital's
own switch is there to leave that hospital out.
"""

from __future__ import annotations

from dagster import (
    AssetSelection,
    AutomationConditionSensorDefinition,
    DagsterInstance,
    DefaultSensorStatus,
)

SWITCH = "automatic_retraining"
OFF = (
    f"Unattended retraining is switched off: nothing was looked at. The switch is {SWITCH}, in "
    "Dagster's pages under Automation."
)
# Of a switch that nobody touched the state, if there is any, says to look into the code.
ON_BY_HAND, OFF_BY_HAND = "RUNNING", "STOPPED"


def build_switch() -> AutomationConditionSensorDefinition:
    """Returns the switch, which is off."""
    return AutomationConditionSensorDefinition(
        SWITCH,
        target=AssetSelection.assets("global_model").downstream(),
        default_status=DefaultSensorStatus.STOPPED,
        description="The one switch of all unattended retraining. While it is off, the sensors of "
        "the hospitals and the schedules ask for nothing, whatever their own switches say. On, it "
        "also asks for the report, and what follows it, where a model has none yet and the checks "
        "before it have passed.",
    )


def is_on(instance: DagsterInstance) -> bool:
    """Returns whether a person switched unattended retraining on; one question to the database."""
    return SWITCH in _switched(instance, ON_BY_HAND)


def switched_off(instance: DagsterInstance) -> frozenset[str]:
    """Returns the names of the sensors and schedules that a person switched off."""
    return _switched(instance, OFF_BY_HAND)


def _switched(instance: DagsterInstance, status: str) -> frozenset[str]:
    return frozenset(
        state.instigator_name
        for state in instance.all_instigator_state()
        if state.status.name == status
    )
