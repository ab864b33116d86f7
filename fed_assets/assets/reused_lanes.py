"""Which hospitals' lanes a run did not run again, and how long that would have taken."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from dagster import AssetExecutionContext, AssetKey, AssetRecordsFilter

LANE = ("images", "validated_images")


def reused_lanes(context: AssetExecutionContext, hospitals: Iterable[str]) -> dict[str, Any]:
    """Returns `lanes_reused`, their hospitals, and `saved_seconds`; nothing if all were run.

    The seconds are those that each took when it was last run, as its hospital measured them.
    """
    reused, seconds = [], 0.0
    for hospital in hospitals:
        earlier = [_seconds_of_earlier(context, AssetKey([hospital, name])) for name in LANE]
        if None not in earlier:
            reused.append(hospital)
            seconds += sum(each or 0.0 for each in earlier)
    if not reused:
        return {}
    return {"lanes_reused": ", ".join(reused), "saved_seconds": round(seconds, 2)}


def _seconds_of_earlier(context: AssetExecutionContext, asset: AssetKey) -> float | None:
    """Returns what an asset took that another run materialized last; None if this one did."""
    partition = AssetRecordsFilter(asset, asset_partitions=[context.partition_key])
    found = context.instance.fetch_materializations(partition, limit=1).records
    if not found or found[0].run_id == context.run.run_id:
        return None
    made = found[0].asset_materialization
    took = made.metadata.get("seconds") if made else None
    return float(str(took.value)) if took is not None else 0.0
