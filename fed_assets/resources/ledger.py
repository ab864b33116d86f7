"""Every model that this home knows of: what its run recorded, and what became of it.

Read from plain files alone, which stay when Dagster's or MLflow's database is lost. Neither Dagster
nor MLflow is imported, so that the answer is there at once.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from fed_assets.errors import StorageError, system_reason
from fed_assets.registry.lineage import Model
from fed_assets.resources.home import Home

LINEAGE = "The lineage of a run"
VERSION = "The record of a registered version"
RETIRED = "retired"
CURE = "Put it back from a backup: what a model was made of cannot be told without it"


def read_ledger(home: Home) -> tuple[Model, ...]:
    """Returns every model, by sandbox and the time when it was made.

    A version whose run left no lineage is there too, with what its own record tells.

    Raises:
        StorageError: A record is damaged; nothing is told then, as it might leave out a model.
    """
    lineages = {record["run_id"]: record for record in _records(home.lineage, "*.json", LINEAGE)}
    models = []
    for record in _records(home.root / "models", "*/v*/version.json", VERSION):
        models.append(
            Model(
                sandbox=record["sandbox"],
                run_id=record["run_id"],
                version=record["version"],
                lineage=lineages.get(record["run_id"]),
                participants=tuple(record["participants"]),
            )
        )
    registered = {model.run_id for model in models}
    models += [
        Model(sandbox=record["sandbox"], run_id=run, lineage=record)
        for run, record in lineages.items()
        if run not in registered
    ]
    return tuple(sorted(models, key=lambda each: (each.sandbox, each.created, each.version or 0)))


def _records(folder: Path, pattern: str, what: str) -> list[dict[str, Any]]:
    found = []
    for path in sorted(folder.glob(pattern)):
        try:
            record = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            seen = system_reason(error) if isinstance(error, OSError) else "no JSON"
            raise StorageError(
                f"{what} is damaged", where=str(path), seen=seen, cure=CURE
            ) from None
        if not isinstance(record, dict) or not record.keys() >= {"run_id", "sandbox"}:
            raise StorageError(
                f"{what} is damaged", where=str(path), seen="not its form", cure=CURE
            )
        found.append(record)
    return found
