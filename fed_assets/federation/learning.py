"""By what hospitals learn: a roster's network and recipe, and those of private training."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from fed_assets.errors import RunConfigError
from fed_assets.federation.roster_complaints import said_of
from fed_assets.sandboxes.controls import UpdateProtection
from fed_assets.sandboxes.protection import Protection

# Fewer than Opacus takes in place of batch normalisation (Wu and He 2018, arXiv:1803.08494, took 32
# for layers of 64 channels and more), and fewer still where a width that is named needs it.
MOST_GROUPS = 8
WIDTHS = ("block_inplanes", "channels", "features", "init_filters", "feature_size")


class _Entry(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Recipe(_Entry):
    """How a hospital trains for one round."""

    learning_rate: float = Field(default=2e-3, gt=0, le=1)
    local_epochs: int = Field(default=1, ge=1, le=100)
    batch_size: int = Field(default=32, ge=1, le=4096)
    weight_decay: float = Field(default=1e-2, ge=0, le=1)
    augment: bool = True
    prior_correction: bool = True
    schedule: Literal["cosine", "constant"] = "cosine"


class PrivateRecipe(_Entry):
    """How a hospital trains for one round with differential privacy, by descent with momentum."""

    learning_rate: float = Field(default=2.0, gt=0, le=100)
    local_epochs: int = Field(default=2, ge=1, le=100)
    sample_rate: float = Field(default=0.5, gt=0, le=1)
    momentum: float = Field(default=0.9, ge=0, le=0.999)
    weight_decay: float = Field(default=0.0, ge=0, le=1)
    augment: bool = True
    schedule: Literal["cosine", "constant"] = "cosine"


class PrivateLearning(_Entry):
    """What takes the place of a roster's network and recipe under differential privacy."""

    network: dict[str, Any] | None = None
    recipe: PrivateRecipe = PrivateRecipe()


@dataclass(frozen=True)
class Learning:
    """By what the hospitals of a federation learn.

    Attributes:
        network: The network's config.
        recipe: How to train it.
        entry: Where in the roster the network stands.
    """

    network: Mapping[str, Any]
    recipe: Recipe | PrivateRecipe
    entry: str = "network"

    def changed(self, changes: Mapping[str, Any]) -> Learning:
        """Returns it with what a run changes of the recipe.

        Raises:
            RunConfigError: A value is out of range.
        """
        try:
            recipe = type(self.recipe).model_validate({**self.recipe.model_dump(), **changes})
        except ValidationError as error:
            complaint = error.errors()[0]
            raise RunConfigError(
                f"The run's recipe cannot be used: {said_of(complaint)}",
                where=".".join(map(str, complaint["loc"])),
                seen=str(complaint["input"])[:80],
            ) from None
        return replace(self, recipe=recipe)


def learning_under(protection: Protection, usual: Learning, private: PrivateLearning) -> Learning:
    """Returns by what hospitals learn in a sandbox, which may have them learn privately.

    Noise falls on every weight, so a private network is better small. Without one of its own it is
    the usual one, with group normalisation where that has batch normalisation: that makes of one
    image what the others of its batch are, and no image's share in a gradient could be bounded. A
    network that is not told its `norm` stays as it is; where it has batch normalisation of its own,
    hospitals refuse it.
    """
    if protection.kind is not UpdateProtection.DIFFERENTIAL_PRIVACY:
        return usual
    network = private.network or usual.network
    entry = "differential_privacy.network" if private.network else usual.entry
    norm = network.get("norm")
    kind = norm[0] if isinstance(norm, list | tuple) and norm else norm
    if str(kind).lower() == "batch":
        network = {**network, "norm": ["group", {"num_groups": _groups(network)}]}
    return Learning(network, private.recipe, entry)


def _groups(network: Mapping[str, Any]) -> int:
    named = [network.get(name) for name in WIDTHS]
    each = [width for one in named for width in (one if isinstance(one, list | tuple) else [one])]
    return math.gcd(MOST_GROUPS, *(width for width in each if isinstance(width, int)))
