"""The L2 norm of an update, and updates scaled down to a norm that they may have at most.

An update is what a round changed: a hospital's weights less the weights that it received, over all
floating-point arrays taken as one vector. The running statistics of batch normalisation are among
them: they reach every hospital through the global model as weights do, and an array that the bound
leaves out would be the way around it. One factor scales all of them, so that what is sent lies on
the line between the weights received and those learned: a running variance stays above zero, and
statistics and weights stay as far along as each other. Integer arrays, which count batches, are in
no vector and are sent as they are; no prediction depends on them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from fed_assets.errors import RunConfigError

Arrays = Mapping[str, np.ndarray[Any, Any]]


@dataclass(frozen=True, kw_only=True)
class Clipped:
    """Weights whose update is within the bound.

    Attributes:
        weights: What may be sent. They are kept out of the repr.
        scaled: Whether the update was larger than the bound.
    """

    weights: dict[str, np.ndarray[Any, Any]] = field(repr=False)
    scaled: bool


def update_norm(weights: Arrays, received: Arrays) -> float:
    """Returns the L2 norm of an update, taken in float64; an array at a time is held twice.

    It is NaN or infinite where a weight is.

    Args:
        weights: What a hospital learned.
        received: What it started from, of the same names and shapes.
    """
    with np.errstate(invalid="ignore", over="ignore"):
        return math.sqrt(sum(_squares(weights[name], received[name]) for name in received))


def clip_update(weights: Arrays, received: Arrays, max_norm: float) -> Clipped:
    """Returns weights whose update is scaled by min(1, max_norm / its L2 norm).

    That is the flat clipping of McMahan et al. 2018 (arXiv:1710.06963): over the whole update as
    one vector. An update within the bound keeps every bit, and so does one of zeros.

    Args:
        weights: What a hospital learned.
        received: What it started from, of the same names and shapes.
        max_norm: Largest norm that the update may have.

    Raises:
        RunConfigError: The update's norm is not a finite number.
    """
    norm = update_norm(weights, received)
    if not math.isfinite(norm):
        raise RunConfigError(
            "Training diverged: the update holds numbers that are not finite",
            where="recipe.learning_rate",
            cure="Lower the learning rate.",
        )
    if norm <= max_norm:
        return Clipped(weights=dict(weights), scaled=False)
    factor = max_norm / norm
    scaled = {name: _towards(received[name], array, factor) for name, array in weights.items()}
    return Clipped(weights=scaled, scaled=True)


def is_within(weights: Arrays, received: Arrays, max_norm: float) -> bool:
    """Returns whether an update's norm is at most `max_norm`, but for the rounding of its weights.

    Clipped weights are rounded to their own type before they are sent, each by half of the type's
    relative spacing at most. Their norm is at most that of the weights received and `max_norm`.
    """
    zeros = np.zeros(())
    start = math.sqrt(sum(_squares(array, zeros) for array in received.values()))
    spacing = max((np.finfo(array.dtype).eps for array in _floating(received)), default=0.0)
    return update_norm(weights, received) <= max_norm + float(spacing) * (max_norm + start)


def _floating(arrays: Arrays) -> list[np.ndarray[Any, Any]]:
    return [array for array in arrays.values() if np.issubdtype(array.dtype, np.floating)]


def _squares(array: np.ndarray[Any, Any], origin: np.ndarray[Any, Any]) -> float:
    if not np.issubdtype(array.dtype, np.floating):
        return 0.0
    difference = (array.astype(np.float64) - origin).ravel()
    return float(np.dot(difference, difference))


def _towards(
    received: np.ndarray[Any, Any], array: np.ndarray[Any, Any], factor: float
) -> np.ndarray[Any, Any]:
    """Returns the point that lies this share of the way from the array received to the other."""
    if not np.issubdtype(received.dtype, np.floating):
        return array
    start = received.astype(np.float64)
    return np.asarray(start + factor * (array.astype(np.float64) - start), dtype=array.dtype)
