"""Rules that make one set of weights of the updates of one round."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from fed_assets.federation.weights import Weights


@dataclass(frozen=True, kw_only=True)
class Update:
    """What one hospital answered in one round.

    Attributes:
        hospital: The hospital's id.
        examples: Images it trained on, at least 1; 0 where a masked update does not tell.
        weights: Its local weights. They are kept out of the repr.
        report: What it and the server say of the update, as it stands in `round.json`.
    """

    hospital: str
    examples: int
    weights: Mapping[str, np.ndarray[Any, Any]] = field(repr=False)
    report: Mapping[str, Any]


def fedavg(updates: Sequence[Update]) -> Weights:
    """Returns the mean of the updates, weighted by examples (McMahan et al. 2017, FedAvg).

    Sums are taken in float64 and in the order of the hospitals' ids, so the same updates give the
    same bits in whatever order they arrived. Integer arrays are rounded to the nearest integer.

    Raises:
        ValueError: There is no update.
    """
    if not updates:
        raise ValueError("no update to aggregate")
    ordered = sorted(updates, key=lambda update: update.hospital)
    examples = sum(update.examples for update in ordered)
    shares = [update.examples / examples for update in ordered]
    return {
        # One array at a time: weights may lie on disk.
        name: _mean((update.weights[name] for update in ordered), shares)
        for name in ordered[0].weights
    }


def _mean(arrays: Iterable[np.ndarray[Any, Any]], shares: Sequence[float]) -> np.ndarray[Any, Any]:
    total, dtype = np.zeros(()), np.dtype(np.float64)
    for number, (array, share) in enumerate(zip(arrays, shares, strict=True)):
        if number == 0:
            total, dtype = np.zeros(array.shape), array.dtype
        total += share * array.astype(np.float64)
    rounded = np.rint(total) if np.issubdtype(dtype, np.integer) else total
    return np.asarray(rounded, dtype=dtype)  # numpy makes scalars of arrays without dimensions
