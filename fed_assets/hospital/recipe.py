"""How every hospital learns: one recipe for a whole federation, checked before the first batch."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from fed_assets.errors import RunConfigError


@dataclass(frozen=True)
class Recipe:
    """How every hospital learns: the roster's `recipe`, and the `proximal_mu` of FedProx."""

    learning_rate: float = 2e-3
    local_epochs: int = 1
    batch_size: int = 32
    weight_decay: float = 1e-2
    augment: bool = True
    prior_correction: bool = True
    schedule: str = "cosine"
    proximal_mu: float = 0.0

    @classmethod
    def of(cls, config: Mapping[str, Any]) -> Recipe:
        """Returns the recipe that a config describes; what it leaves out keeps its default.

        Raises:
            RunConfigError: a key is unknown or a value is out of range.
        """
        known = {field.name: field.type for field in fields(cls)}
        for key, value in config.items():
            if key not in known:
                _refuse(key, value, f"known: {', '.join(known)}")
            allowed = {"bool": (bool,), "int": (int,), "float": (int, float), "str": (str,)}
            kind = allowed[str(known[key])]
            if not isinstance(value, kind) or (isinstance(value, bool) and bool not in kind):
                _refuse(key, value, f"a value of type {known[key]}")
        recipe = cls(**config)
        if not 0 < recipe.learning_rate <= 1:
            _refuse("learning_rate", recipe.learning_rate, "above 0, at most 1")
        if not 1 <= recipe.local_epochs <= 100:
            _refuse("local_epochs", recipe.local_epochs, "1 to 100")
        if not 1 <= recipe.batch_size <= 4096:
            _refuse("batch_size", recipe.batch_size, "1 to 4096")
        if not 0 <= recipe.weight_decay <= 1:
            _refuse("weight_decay", recipe.weight_decay, "0 to 1")
        if not 0 <= recipe.proximal_mu <= 1000:
            _refuse("proximal_mu", recipe.proximal_mu, "0 to 1000")
        if recipe.schedule not in ("cosine", "constant"):
            _refuse("schedule", recipe.schedule, "cosine or constant")
        return recipe

    def learning_rate_at(self, progress: float) -> float:
        """Returns the learning rate when this fraction (0 to 1) of all local work is done."""
        if self.schedule == "constant":
            return self.learning_rate
        return self.learning_rate * 0.5 * (1 + math.cos(math.pi * progress))


def _refuse(key: str, value: Any, allowed: str) -> None:
    raise RunConfigError(
        "The recipe cannot be used",
        where=f"recipe.{key}",
        seen=str(value)[:80],
        cure=f"Write {allowed}.",
    )
