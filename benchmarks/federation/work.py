"""The work that every arm does alike: hospitals with real images, a network, a recipe, rounds."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from fed_assets.federation.weights import write_weights
from fed_assets.privacy.digests import weights_digest


@dataclass(frozen=True, kw_only=True)
class Work:
    """What is to be done, in a form that a process can be told.

    Attributes:
        stores: Each hospital's store.
        test_store: The store of the common test set, for judging the result.
        initial_weights: What the first round starts from.
        network: Its config.
        recipe: How hospitals learn.
        rounds: How many.
        seed: Of the initial weights and of every draw in training.
        classes: Number of classes.
        channels: Number of image channels.
    """

    stores: Mapping[str, str]
    test_store: str
    initial_weights: str
    network: Mapping[str, Any]
    recipe: Mapping[str, Any]
    rounds: int
    seed: int
    classes: int
    channels: int

    def write(self, path: Path) -> None:
        """Writes the work as JSON."""
        path.write_text(json.dumps(asdict(self), indent=1))

    @classmethod
    def read(cls, path: str) -> Work:
        """Returns the work that `write` wrote."""
        return cls(**json.loads(Path(path).read_text()))

    def instructions(self, round_number: int) -> dict[str, Any]:
        """Returns what a hospital is told of a round, as the federation's controller tells it."""
        return {
            "round_number": round_number,
            "rounds": self.rounds,
            "seed": self.seed,
            "recipe": dict(self.recipe),
            "network": dict(self.network),
            "classes": self.classes,
            "channels": self.channels,
        }


def write_outcome(path: str, weights: Mapping[str, np.ndarray[Any, Any]], **facts: Any) -> None:
    """Writes an arm's final weights, and says when they were ready to be read.

    Args:
        path: Of the outcome, a JSON file; the weights lie beside it.
        weights: After the last round.
        facts: What else the arm has to say.
    """
    final = Path(path).with_suffix(".safetensors")
    write_weights(final, weights)
    readable_at = time.monotonic()
    outcome = {"readable_at": readable_at, "weights": str(final), "digest": weights_digest(weights)}
    Path(path).write_text(json.dumps({**outcome, **facts}))
