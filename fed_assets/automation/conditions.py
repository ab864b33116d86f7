"""What follows a model by itself, and after how long a model is stale.

Who asks for what, so that nothing is asked for twice:

- Sensors ask for a hospital's lane when its images differ, and for the training that follows.
- Schedules ask for a training on the images as they stand. Both runs take along all that follows
  the model, so that there is nothing left to ask for.
- One sensor asks again for such a run that failed of what may have passed (see `tries`).
- The condition here asks for what follows a model where a run did not take it along: a model that
  was materialized alone, or an asset that this version is the first to have. It waits until every
  blocking check of what it follows has passed and nothing is under way, and does not ask again for
  what has failed. Nothing above the model has a condition: a lane that a person materializes by
  hand trains nothing.

Dagster judges freshness by an asset and not by its partitions: the newest model of any sandbox
counts.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from dagster import (
    AssetsDefinition,
    AssetSelection,
    AssetSpec,
    AutomationCondition,
    Definitions,
    FreshnessPolicy,
)

from fed_assets.federation.roster import Roster

FOLLOWING = ("evaluation_report", "registered_model", "deployed_model")
FRESH = ("global_model", "evaluation_report")
# A report that is older than the roster is none of a model that is older than its report.
NOT_NEWS = AssetSelection.assets("federation_roster")


def after_its_checks() -> AutomationCondition[Any]:
    """Returns the condition: something that it follows is new, and all that blocks has passed."""
    news = AutomationCondition.any_deps_updated().ignore(NOT_NEWS)
    return (
        AutomationCondition.eager().replace("any_deps_updated", news)
        & AutomationCondition.all_deps_blocking_checks_passed()
        & ~AutomationCondition.execution_failed()
    ).with_label("after its blocking checks")


def automated(platform: Definitions, roster: Roster) -> Definitions:
    """Returns the platform, with conditions on what follows a model, and how long it is fresh."""
    days = roster.automation.fresh_within_days

    def with_automation(spec: AssetSpec) -> AssetSpec:
        name = spec.key.to_user_string()
        changes: dict[str, Any] = {}
        if name in FOLLOWING:
            changes["automation_condition"] = after_its_checks()
        if name in FRESH and days is not None:
            changes["freshness_policy"] = FreshnessPolicy.time_window(timedelta(days=days))
        return spec.replace_attributes(**changes) if changes else spec

    return Definitions(
        assets=[
            asset.map_asset_specs(with_automation) if isinstance(asset, AssetsDefinition) else asset
            for asset in platform.assets or ()
        ],
        jobs=platform.jobs,
        sensors=platform.sensors,
        schedules=platform.schedules,
        resources=platform.resources,
        executor=platform.executor,
    )
