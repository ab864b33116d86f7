"""The size of an update, and updates scaled down to the size that they may have at most.

An update is what a round changed: a hospital's weights less the weights that it received. It is
two vectors, each with a bound of its own: all learned arrays, and the running statistics of batch
normalisation. Statistics have the units of what passes through the network, and moved up to ten
times as far as weights where that was measured: in one vector with them, weights would be bounded
too loosely or statistics too tightly. They are bounded all the same, because they reach every
hospital through the global model; what no bound holds would be the way around it. What is sent lies
on the line between what was received and what was learned, and so a running variance stays above
zero. Integer arrays, which count batches, are sent as they are; no prediction depends on them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from fed_assets.errors import RunConfigError
from fed_assets.privacy.statistics import is_learned, is_statistic

Arrays = Mapping[str, np.ndarray[Any, Any]]


@dataclass(frozen=True, kw_only=True)
class Clipped:
    """Weights whose update is within its bounds.

    Attributes:
        weights: What may be sent. They are kept out of the repr.
        scaled: Whether a part of the update was larger than its bound.
    """

    weights: dict[str, np.ndarray[Any, Any]] = field(repr=False)
    scaled: bool


def learned_of(arrays: Arrays) -> dict[str, np.ndarray[Any, Any]]:
    """Returns those of a model's arrays that gradients lead to."""
    return {name: array for name, array in arrays.items() if is_learned(name, array)}


def statistics_of(arrays: Arrays) -> dict[str, np.ndarray[Any, Any]]:
    """Returns a model's running statistics."""
    return {name: array for name, array in arrays.items() if is_statistic(name)}


def update_norm(weights: Arrays, received: Arrays) -> float:
    """Returns the L2 norm of an update over the arrays received, taken in float64.

    An array at a time is held twice. The norm is NaN or infinite where a weight is.
    """
    with np.errstate(invalid="ignore", over="ignore"):
        return math.sqrt(sum(_squares(weights[name], received[name]) for name in received))


def clip_update(
    weights: Arrays, received: Arrays, *, max_norm: float, max_statistics_norm: float
) -> Clipped:
    """Returns weights whose update is scaled by min(1, bound / its L2 norm), in both its parts.

    That is the clipping of McMahan et al. 2018 (arXiv:1710.06963), of each part as one vector. A
    part within its bound keeps every bit, and so does one of zeros.

    Args:
        weights: What a hospital learned.
        received: What it started from, of the same names and shapes.
        max_norm: Largest L2 norm over the learned arrays.
        max_statistics_norm: Largest L2 norm over the running statistics.

    Raises:
        RunConfigError: The update's norm is not a finite number.
    """
    sent, scaled = dict(weights), False
    for part, most in ((learned_of, max_norm), (statistics_of, max_statistics_norm)):
        start = part(received)
        norm = update_norm(weights, start)
        if not math.isfinite(norm):
            raise RunConfigError(
                "Training diverged: the update holds numbers that are not finite",
                where="recipe.learning_rate",
                cure="Lower the learning rate.",
            )
        if norm > most:
            scaled = True
            for name in start:
                sent[name] = _towards(start[name], weights[name], most / norm)
    return Clipped(weights=sent, scaled=scaled)


def excess(
    weights: Arrays, received: Arrays, *, max_norm: float, max_statistics_norm: float
) -> str | None:
    """Returns which bound an update exceeds, by more than the rounding of its weights; or None.

    Clipped weights are rounded to their own type before they are sent, each by half of the type's
    relative spacing at most. Their norm is at most that of the weights received and the bound.
    """
    zeros = np.zeros(())
    for name, part, most in (
        ("max_norm", learned_of, max_norm),
        ("max_statistics_norm", statistics_of, max_statistics_norm),
    ):
        start = part(received)
        size = math.sqrt(sum(_squares(array, zeros) for array in start.values()))
        spacing = max((float(np.finfo(array.dtype).eps) for array in start.values()), default=0.0)
        # A norm that is not a number is no smaller than anything.
        if not update_norm(weights, start) <= most + spacing * (most + size):
            return f"{name}={most:g}"
    return None


def _squares(array: np.ndarray[Any, Any], origin: np.ndarray[Any, Any]) -> float:
    difference = (array.astype(np.float64) - origin).ravel()
    return float(np.dot(difference, difference))


def _towards(
    start: np.ndarray[Any, Any], array: np.ndarray[Any, Any], share: float
) -> np.ndarray[Any, Any]:
    """Returns the point that lies this share of the way from one array to another."""
    origin = start.astype(np.float64)
    return np.asarray(origin + share * (array.astype(np.float64) - origin), dtype=array.dtype)
