"""How every hospital learns: one recipe for a whole federation, checked before the first batch."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, ClassVar, Self

from fed_assets.errors import RunConfigError

SCHEDULES = ("cosine", "constant")
ABOVE_ZERO = {"learning_rate", "sample_rate"}
_TYPES = {"bool": (bool,), "int": (int,), "float": (int, float), "str": (str,)}


@dataclass(frozen=True, kw_only=True)
class Descent:
    """What every recipe says of the way down.

    Attributes:
        learning_rate: At the start.
        local_epochs: How often a hospital goes through its training images in a round.
        weight_decay: What each step takes off the weights, as a multiple of the learning rate.
        augment: Whether each image is seen from another view each time.
        schedule: How the learning rate falls over all rounds: `cosine` or `constant`.
        proximal_mu: The mu of FedProx; 0 is plain descent.
    """

    # Least and greatest value of what is a number.
    ranges: ClassVar[Mapping[str, tuple[float, float]]] = {
        "learning_rate": (0, 1),
        "local_epochs": (1, 100),
        "weight_decay": (0, 1),
        "proximal_mu": (0, 1000),
    }

    learning_rate: float
    local_epochs: int
    weight_decay: float
    augment: bool = True
    schedule: str = "cosine"
    proximal_mu: float = 0.0

    @classmethod
    def of(cls, config: Mapping[str, Any]) -> Self:
        """Returns the recipe that a config describes; what it leaves out keeps its default.

        Raises:
            RunConfigError: a key is unknown or a value is out of range.
        """
        known = {field.name: str(field.type) for field in fields(cls)}
        for key, value in config.items():
            if key not in known:
                _refuse(key, value, f"known: {', '.join(known)}")
            kind = _TYPES[known[key]]
            if not isinstance(value, kind) or (isinstance(value, bool) and bool not in kind):
                _refuse(key, value, f"a value of type {known[key]}")
        recipe = cls(**config)
        for key, (least, most) in cls.ranges.items():
            value = getattr(recipe, key)
            if not least <= value <= most or (key in ABOVE_ZERO and value == 0):
                _refuse(key, value, f"{'above ' * (key in ABOVE_ZERO)}{least:g} to {most:g}")
        if recipe.schedule not in SCHEDULES:
            _refuse("schedule", recipe.schedule, " or ".join(SCHEDULES))
        return recipe

    def learning_rate_at(self, progress: float) -> float:
        """Returns the learning rate when this fraction (0 to 1) of all local work is done."""
        if self.schedule == "constant":
            return self.learning_rate
        return self.learning_rate * 0.5 * (1 + math.cos(math.pi * progress))


@dataclass(frozen=True, kw_only=True)
class Recipe(Descent):
    """By AdamW: the roster's `recipe`, and the `proximal_mu` of FedProx.

    Attributes:
        batch_size: Images of a step.
        prior_correction: Whether a hospital allows for how often it has each class.
    """

    ranges: ClassVar = {**Descent.ranges, "batch_size": (1, 4096)}

    learning_rate: float = 2e-3
    local_epochs: int = 1
    weight_decay: float = 1e-2
    batch_size: int = 32
    prior_correction: bool = True


@dataclass(frozen=True, kw_only=True)
class PrivateRecipe(Descent):
    """By DP-SGD, with momentum: the `recipe` of the roster's `differential_privacy`.

    Attributes:
        sample_rate: How likely each image comes into a step's batch. It is the same in small
            hospitals and large ones, so none needs more noise for its size than another.
        momentum: How much of the last step's direction stays.
    """

    ranges: ClassVar = {
        **Descent.ranges,
        "learning_rate": (0, 100),
        "sample_rate": (0, 1),
        "momentum": (0, 0.999),
    }

    learning_rate: float = 2.0
    local_epochs: int = 2
    weight_decay: float = 0.0
    sample_rate: float = 0.5
    momentum: float = 0.9


def _refuse(key: str, value: Any, allowed: str) -> None:
    raise RunConfigError(
        "The recipe cannot be used",
        where=f"recipe.{key}",
        seen=str(value)[:80],
        cure=f"Write {allowed}.",
    )
