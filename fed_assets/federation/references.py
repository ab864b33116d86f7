"""By what reference models learn and are tested, to be told from those of another roster."""

from __future__ import annotations

from typing import Any

from fed_assets.federation.roster import Roster


def roster_learning(roster: Roster) -> dict[str, Any]:
    """Returns what references are trained with, whatever a sandbox protects.

    It has `network`, `recipe` and `threshold`, as JSON holds them.
    """
    return {
        "network": dict(roster.network),
        "recipe": roster.recipe.model_dump(),
        "threshold": roster.threshold,
    }
