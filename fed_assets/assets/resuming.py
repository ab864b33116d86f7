"""Which earlier run a training goes on from: one that failed, and asked for the same work."""

from __future__ import annotations

from collections.abc import Iterator

from dagster import AssetExecutionContext

from fed_assets.federation.plan import FederationPlan
from fed_assets.federation.resume import Earlier, find_earlier, go_on, keep_plan
from fed_assets.resources.earlier_runs import failed_ancestors, failed_since_success, goes_on
from fed_assets.resources.home import Home


def take_up(
    context: AssetExecutionContext, home: Home, plan: FederationPlan
) -> tuple[FederationPlan, Earlier | None]:
    """Returns the plan of what is left to train, and the earlier run that did the rest.

    Raises:
        StorageError: the earlier rounds could not be copied.
    """
    runs = ((run, home.federation(plan.sandbox, run)) for run in _failed_runs(context, home))
    earlier = find_earlier(plan, runs, context.log.warning)
    if earlier is not None:
        plan = go_on(plan, earlier)
        context.log.info(
            f"Goes on after round {earlier.last_round} of {plan.rounds}, from run {earlier.run[:8]}"
        )
    keep_plan(plan)
    return plan, earlier


def _failed_runs(context: AssetExecutionContext, home: Home) -> Iterator[str]:
    yield from failed_ancestors(context.instance, context.run)
    if goes_on(context.run):

        def trained(run: str) -> bool:
            return home.federation(context.partition_key, run).is_dir()

        yield from failed_since_success(context.instance, context.run, trained)
