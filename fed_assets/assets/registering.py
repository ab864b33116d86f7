"""How a run's model comes into the registry: unless a hospital withdrew, and with its card."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from dagster import MetadataValue

from fed_assets.errors import HospitalWithdrawn
from fed_assets.federation.withdrawals import require_none_withdrawn
from fed_assets.registry.lineage import Model, data_of
from fed_assets.registry.version import ModelVersion
from fed_assets.resources.artifact_store import read_whole, write_whole
from fed_assets.resources.home import Home
from fed_assets.resources.model_folders import folder_of
from fed_assets.resources.model_records import CURE, LINEAGE
from fed_assets.resources.model_registry import ModelRegistry


def register(home: Home, registry: ModelRegistry, record: ModelVersion, weights: Path) -> int:
    """Registers a model as a version, and returns its number.

    The list of who withdrew is looked at before and after: who enters it in between either finds
    the version among those to retire, or is found here.

    Raises:
        HospitalWithdrawn: A hospital whose data is in it withdrew; it may not serve.
        PromotionRefused: Somebody else holds the registry for long.
        StorageError: The registry cannot be reached or written, or a record is damaged.
    """
    contained = [*record.participants, *(part.hospital for part in data_of(_model(home, record)))]
    what = "No version is registered"
    require_none_withdrawn(home.withdrawals, contained, what=what)
    number = registry.register(record, record.mlflow_run, weights=weights)
    try:
        require_none_withdrawn(home.withdrawals, contained, what=what)
    except HospitalWithdrawn as error:
        registry.retire(record.sandbox, number, f"{error.where}: {error.seen}")
        raise
    return number


def keep_card(home: Home, version: ModelVersion) -> dict[str, MetadataValue]:
    """Writes a version's card beside its record, and returns what Dagster shows of it.

    What the version is, champion or retired, is not on it, for that changes: `fed-assets trace`
    tells it, and writes a card with it.

    Nothing is written for a version whose run left no lineage.

    Raises:
        StorageError: It cannot be written, or the lineage is damaged.
    """
    from fed_assets.reporting.model_card import HTML, card_files, card_markdown, card_of

    model = _model(home, version).as_record() | {"states": None}
    if model["lineage"] is None:
        return {}
    folder = folder_of(home.models(version.sandbox), version.version)
    for name, content in card_files(model).items():
        write_whole(folder / name, content)
    return {
        "card": MetadataValue.path(str(folder / HTML)),
        "card_summary": MetadataValue.md(card_markdown(card_of(model))),
    }


def _model(home: Home, version: ModelVersion) -> Model:
    lineage: dict[str, Any] | None = read_whole(
        home.lineage / f"{version.run_id}.json", what=LINEAGE, cure=CURE
    )
    return Model(
        sandbox=version.sandbox,
        run_id=version.run_id,
        version=version.version or None,
        lineage=lineage,
        participants=version.participants,
    )
