# No `from __future__ import annotations` here: Dagster reads the annotations of asset functions.

from typing import Any

from dagster import (
    AssetExecutionContext,
    AssetKey,
    AssetsDefinition,
    DagsterInstance,
    MaterializeResult,
    asset,
    materialize,
)

from fed_assets.assets.partitions import SANDBOX_PARTITIONS, Materialized
from fed_assets.assets.reused_lanes import LANE, reused_lanes

HOSPITALS = ("north", "east")


def lane(hospital: str) -> list[AssetsDefinition]:
    """Returns assets that took a second and a half each, by their own word."""

    def build(name: str) -> AssetsDefinition:
        @asset(key=AssetKey([hospital, name]), partitions_def=SANDBOX_PARTITIONS)
        def step() -> Materialized:
            return MaterializeResult(metadata={"seconds": 1.5})

        return step

    return [build(name) for name in LANE]


@asset(
    partitions_def=SANDBOX_PARTITIONS,
    deps=[AssetKey([name, "validated_images"]) for name in HOSPITALS],
)
def told(context: AssetExecutionContext) -> Materialized:
    return MaterializeResult(metadata=reused_lanes(context, HOSPITALS))


def tell(instance: DagsterInstance, *lanes: str, partition: str = "minimal") -> dict[str, Any]:
    """Returns what a run tells that runs these hospitals' lanes."""
    assets = [*(step for name in HOSPITALS for step in lane(name)), told]
    chosen = [AssetKey([name, step]) for name in lanes for step in LANE]
    result = materialize(
        assets, selection=[*chosen, AssetKey("told")], partition_key=partition, instance=instance
    )
    (made,) = result.asset_materializations_for_node("told")
    return {name: value.value for name, value in made.metadata.items() if "/" not in name}


def test_a_run_tells_whose_lanes_it_took_as_they_stood_and_what_that_saved() -> None:
    with DagsterInstance.ephemeral() as instance:
        assert tell(instance, "north", "east") == {}
        assert tell(instance, "north") == {"lanes_reused": "east", "saved_seconds": 3.0}
        assert tell(instance) == {"lanes_reused": "north, east", "saved_seconds": 6.0}


def test_a_lane_that_was_run_in_another_sandbox_is_not_reused_in_this_one() -> None:
    with DagsterInstance.ephemeral() as instance:
        tell(instance, "north", "east")
        assert tell(instance, "north", partition="eyes_on") == {}
