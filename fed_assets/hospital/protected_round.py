"""One local round, learned and protected as the hospital's own site promises it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from fed_assets.errors import RunConfigError
from fed_assets.hospital.private_training import train_privately
from fed_assets.hospital.recipe import PrivateRecipe, Recipe
from fed_assets.hospital.training import train_round
from fed_assets.hospital.weights import weights_of
from fed_assets.privacy.clipping import clip_update
from fed_assets.sandboxes.controls import UpdateProtection
from fed_assets.sandboxes.protection import SUM_ALONE, Protection

if TYPE_CHECKING:
    import torch

    from fed_assets.hospital.dataset import Dataset
    from fed_assets.hospital.privacy_ledger import PrivacyLedger

Arrays = dict[str, np.ndarray[Any, Any]]
# Makes what is sent of the weights received, those after training, and the number of images.
Hide = Callable[[Arrays, Arrays, int], Arrays]
_NEEDS_RECEIVED = {UpdateProtection.CLIP} | SUM_ALONE


@dataclass(frozen=True, kw_only=True)
class Means:
    """What a hospital protects its updates with.

    Attributes:
        protection: What is done to them.
        ledger: What differential privacy is charged to.
        hide: What masks the update or encrypts it, where the server learns the sum alone.
    """

    protection: Protection
    ledger: PrivacyLedger
    hide: Hide | None = None

    @property
    def need_received(self) -> bool:
        """Whether the weights that a round began with are needed at its end."""
        return self.protection.kind in _NEEDS_RECEIVED


@dataclass(frozen=True)
class Learned:
    """What a local round gave.

    Attributes:
        weights: The local weights, or what they are hidden in.
        loss: Mean over the images; None where it must not be told.
        examples: Images that were learned from.
        said: What the update says of its protection.
    """

    weights: Arrays
    loss: float | None
    examples: int
    said: Mapping[str, Any]


def learn(
    network: torch.nn.Module,
    received: Arrays,
    dataset: Dataset,
    rows: np.ndarray[Any, Any],
    asked: Mapping[str, Any],
    *,
    hospital: str,
    classes: int,
    means: Means,
    should_stop: Callable[[], bool],
) -> Learned:
    """Trains the network one round in place, and protects what it has become.

    Args:
        network: With the global weights in it.
        received: The same weights, where the means need them.
        dataset: The hospital's.
        rows: The training images in it.
        asked: The round's `round_number`, `rounds`, `seed` and `recipe`.
        hospital: Its id, part of the seed of every random draw.
        classes: How many there are in the federation.
        means: What it protects its updates with.
        should_stop: Asked before every batch.

    Raises:
        RunConfigError: The update cannot be protected as it is promised, or not be learned.
        BudgetSpent: The round would go beyond the hospital's privacy budget.
        Stopped: `should_stop` said so.
    """
    kind = means.protection.kind
    if (kind in SUM_ALONE) != (means.hide is not None):
        raise RunConfigError("The update cannot be protected", seen=str(kind))
    turn = {"round_number": int(asked["round_number"]), "rounds": int(asked["rounds"])}
    if kind is UpdateProtection.DIFFERENTIAL_PRIVACY:
        trained = train_privately(
            network,
            dataset,
            rows,
            PrivateRecipe.of(asked["recipe"]),
            protection=means.protection,
            ledger=means.ledger,
            should_stop=should_stop,
            **turn,
        )
    else:
        trained = train_round(
            network,
            dataset.images,
            dataset.labels,
            rows,
            Recipe.of(asked["recipe"]),
            classes=classes,
            hospital=hospital,
            seed=int(asked["seed"]),
            should_stop=should_stop,
            **turn,
        )
    weights, said = weights_of(network), dict(trained.privacy)
    match kind:
        case UpdateProtection.CLIP:
            within = clip_update(weights, received, **means.protection.bounds)
            weights, said = within.weights, {"clipped": within.scaled}
        case _ if means.hide is not None:
            weights = means.hide(received, weights, trained.examples)
        case UpdateProtection.NONE | UpdateProtection.DIFFERENTIAL_PRIVACY:
            pass
        case _:
            raise RunConfigError("The update cannot be protected", seen=str(kind))
    return Learned(weights, trained.loss, trained.examples, said)
