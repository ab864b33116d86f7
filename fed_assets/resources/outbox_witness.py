"""What Dagster's metadata still tells of the ends that a hospital's outbox log had earlier."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from fed_assets.resources.home import Home

if TYPE_CHECKING:
    from dagster import AssetKey, AssetMaterialization, AssetObservation, DagsterInstance

# Names of metadata, also of a round's figures as the server hands them on.
ENTRIES, HEAD, HEADS = "outbox_entries", "outbox_head", "outbox_heads"
# Of each asset the newest so many events are looked at.
LOOK_BACK_EVENTS = 20


def seen_heads(home: Home, hospital: str, sandbox: str) -> set[tuple[int, str]]:
    """Returns the ends that the orchestrator saw: the number of entries, and the last one's hash.

    Args:
        home: Where Dagster's instance lies.
        hospital: Whose log.
        sandbox: Of which sandbox.
    """
    if not (home.instance / "dagster.yaml").is_file():
        return set()
    from dagster import AssetKey

    from fed_assets.resources.instance import open_instance

    keys = [AssetKey([hospital, name]) for name in ("images", "validated_images", "local_rounds")]
    with open_instance(home) as instance:
        own = [
            (plain.get(ENTRIES), plain.get(HEAD))
            for key in keys
            for plain in _metadata(instance, key, sandbox)
        ]
        for plain in _metadata(instance, AssetKey("evaluation_report"), sandbox):
            head = (plain.get(HEADS) or {}).get(hospital, {})
            own.append((head.get("entries"), head.get("hash")))
    return {(entries, digest) for entries, digest in own if entries and digest}


def _metadata(
    instance: DagsterInstance, key: AssetKey, sandbox: str
) -> Iterator[Mapping[str, Any]]:
    """Yields the metadata of an asset's newest events in a sandbox."""
    from dagster import AssetRecordsFilter

    of_it = AssetRecordsFilter(asset_key=key, asset_partitions=[sandbox])
    for fetch in (instance.fetch_materializations, instance.fetch_observations):
        for record in fetch(of_it, limit=LOOK_BACK_EVENTS).records:
            event: AssetMaterialization | AssetObservation | None = (
                record.asset_materialization or record.event_log_entry.asset_observation
            )
            if event is not None:
                yield {name: value.value for name, value in event.metadata.items()}
