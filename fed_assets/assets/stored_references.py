"""The reference models that are stored, and what those of a run's kind are trained with."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dagster import AssetExecutionContext

from fed_assets.comparison.stored import REFERENCES_CURE, require_references
from fed_assets.errors import StorageError
from fed_assets.federation.learning import Recipe
from fed_assets.federation.references import roster_learning
from fed_assets.federation.roster import Roster
from fed_assets.resources.artifact_store import read_value
from fed_assets.resources.home import Home
from fed_assets.sandboxes.controls import UpdateProtection
from fed_assets.sandboxes.sandbox import Sandbox


def reference_value(home: Home) -> dict[str, Any] | None:
    """Returns what `reference_models` last came to; None where it never did.

    Raises:
        StorageError: its value is damaged.
    """
    value = read_value(home, "reference_models", cure=REFERENCES_CURE)
    if value is None:
        return None
    return require_references(value, home.artifacts / "reference_models.json")


def references_for_report(context: AssetExecutionContext, home: Home) -> dict[str, Any] | None:
    """Returns the stored references; a damaged value costs a run its comparison, not its report."""
    try:
        return reference_value(home)
    except StorageError as error:
        context.log.warning(str(error))
        return None


def reference_learning(
    roster: Roster, sandbox: Sandbox, global_model: Mapping[str, Any]
) -> dict[str, Any]:
    """Returns what references of a run's kind learn by: by what its hospitals did.

    Under differential privacy, which no reference has, by the roster's usual network and recipe.
    """
    usual = roster_learning(roster)
    if sandbox.update_protection is UpdateProtection.DIFFERENTIAL_PRIVACY:
        return usual
    trained = global_model["recipe"]  # and what the averaging adds, which no reference has
    recipe = {name: trained[name] for name in Recipe.model_fields}
    return {**usual, "network": global_model["network"], "recipe": recipe}
