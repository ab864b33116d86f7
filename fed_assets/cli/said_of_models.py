"""What commands tell of models as JSON."""

from __future__ import annotations

from typing import Any

from fed_assets.registry.lineage import Model, Part


def of_model(model: Model) -> dict[str, Any]:
    """Returns a model: its name, what it is now, and all that its run recorded."""
    return {
        "model": model.name,
        "sandbox": model.sandbox,
        "version": model.version,
        "run_id": model.run_id,
        "states": list(model.states),
        "participants": [*model.hospitals],
        "lineage": model.lineage,
    }


def of_part(part: Part) -> dict[str, Any]:
    """Returns what a hospital is to a model, and what that model is now."""
    return {
        "hospital": part.hospital,
        "data_digests": list(part.data_digests),
        "how": part.how,
        "model": part.model.name,
        "sandbox": part.model.sandbox,
        "version": part.model.version,
        "run_id": part.model.run_id,
        "created": part.model.created,
        "states": list(part.model.states),
    }
