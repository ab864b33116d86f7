"""Rules that hold while some of a round's hospitals are hostile.

Each works in float64, in the order of the hospitals' ids, and piece by piece: of large weights,
which lie on disk, a few rows of one array of every hospital are in memory at a time. A hospital's
number of images is its own word, so no rule here weighs by it unchecked. Integer arrays are rounded
to the nearest integer.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from fed_assets.errors import QuorumNotMet
from fed_assets.federation.aggregation import Update, fedavg
from fed_assets.federation.parked import rows_of
from fed_assets.federation.weights import Weights
from fed_assets.sandboxes.protection import Rule

PIECE_BYTES = 1 << 24  # of all hospitals together, as float64; sorting them takes five times that
# Of one hospital; no more are believed, so that sums of them stay exact.
MOST_EXAMPLES = 1 << 40

_Stack = np.ndarray[Any, np.dtype[np.float64]]


def require_enough(rule: Rule, updates: Sequence[Update]) -> None:
    """Refuses a round with too few updates for what its rule promises.

    Raises:
        QuorumNotMet: There are fewer than the rule's `least_updates`.
    """
    if len(updates) < rule.least_updates:
        raise QuorumNotMet(
            f"{len(updates)} updates are too few for {rule}, which needs {rule.least_updates}",
            where="control `aggregation`",
            seen=", ".join(sorted(update.hospital for update in updates)),
            cure="Mend the hospitals that are missing, or lower the sandbox's `tolerated`",
        )


def weighted_median(updates: Sequence[Update]) -> Weights:
    """Returns the median of the updates in each coordinate, weighted by examples.

    The weights are cut off as by Portnoy et al. 2022 (arXiv:2004.04986): at the largest number at
    which the heaviest fifth of the hospitals holds a third of all weight at most, so that none can
    take the median over by claiming many images. Where the lower half of the weight ends between
    two hospitals, the median is the mean of their values.

    Args:
        updates: At least 3, of finite numbers.
    """
    ordered = _in_order(updates)
    weights = np.array(truncated([update.examples for update in ordered]), dtype=np.int64)

    def median(stack: _Stack) -> _Stack:
        order = np.argsort(stack, axis=-1, kind="stable")
        values = np.take_along_axis(stack, order, axis=-1)
        twice = 2 * np.cumsum(weights[order], axis=-1)
        low = np.argmax(twice >= weights.sum(), axis=-1, keepdims=True)
        high = np.argmax(twice > weights.sum(), axis=-1, keepdims=True)
        ends = np.take_along_axis(values, np.concatenate([low, high], axis=-1), axis=-1)
        # Halved first: the sum of two large numbers need not be finite.
        return np.asarray((ends / 2).sum(axis=-1))

    return _by_coordinate(ordered, median)


def truncated(examples: Sequence[int]) -> list[int]:
    """Returns numbers of examples cut off where the heaviest fifth would hold over a third of all.

    >>> truncated([100, 120, 80, 110, 10_000])
    [100, 120, 80, 110, 205]
    """
    heaviest = math.ceil(len(examples) / 5)
    sizes = sorted(min(count, MOST_EXAMPLES) for count in examples)
    least, most = 1, sizes[-1]
    while least < most:
        limit = (least + most + 1) // 2
        cut = [min(size, limit) for size in sizes]
        if 3 * sum(cut[-heaviest:]) <= sum(cut):
            least = limit
        else:
            most = limit - 1
    return [min(count, least) for count in examples]


def trimmed_mean(updates: Sequence[Update], tolerated: int) -> Weights:
    """Returns, in each coordinate, the mean without the `tolerated` lowest and highest values.

    That is the trimmed mean of Yin et al. 2018 (arXiv:1803.01498, definition 2); every hospital
    counts once.

    Args:
        updates: More than twice `tolerated`, of finite numbers.
        tolerated: Hostile hospitals that it withstands.
    """
    ordered = _in_order(updates)
    kept = slice(tolerated, len(ordered) - tolerated)
    return _by_coordinate(ordered, lambda stack: np.sort(stack, axis=-1)[..., kept].mean(axis=-1))


def multi_krum(updates: Sequence[Update], tolerated: int) -> Weights:
    """Returns the mean of the updates that lie closest to most others.

    Of n updates those n - f - 2 are taken whose squared distances to their n - f - 2 closest others
    add up to least (Blanchard et al. 2017, section 4, with f = `tolerated`; as many as Damaskinos
    et al. 2019, AggregaThor, prove to withstand f); every hospital counts once. Distances are over
    the floating-point arrays. Of integer arrays the median of those taken is returned.

    Args:
        updates: At least twice `tolerated` and three, of finite numbers.
        tolerated: Hostile hospitals that it withstands.
    """
    ordered = _in_order(updates)
    closest = len(ordered) - tolerated - 2
    apart = squared_distances(ordered)
    # Of each row the first is the distance to itself.
    scores = np.sort(apart, axis=1)[:, 1 : closest + 1].sum(axis=1)
    taken = [
        replace(ordered[index], examples=1)
        for index in sorted(np.argsort(scores, kind="stable")[:closest])
    ]
    first = taken[0].weights
    counters = {name for name in first if not np.issubdtype(first[name].dtype, np.floating)}
    return {
        **fedavg(taken),
        **_by_coordinate(taken, lambda stack: np.median(stack, axis=-1), names=counters),
    }


def squared_distances(updates: Sequence[Update]) -> _Stack:
    """Returns the squared L2 distances between updates, [n, n], over floating-point arrays.

    Differences are taken directly: by scalar products, one huge update would leave nothing of the
    distances between the others.
    """
    apart = np.zeros((len(updates), len(updates)))
    with np.errstate(over="ignore"):  # an infinite distance is a large one
        for name, like in updates[0].weights.items():
            if not np.issubdtype(like.dtype, np.floating):
                continue
            for _, stack in _pieces(updates, name, like):
                columns = stack.reshape(-1, len(updates)).T
                for index, column in enumerate(columns[:-1]):
                    between = columns[index + 1 :] - column
                    apart[index, index + 1 :] += np.square(between).sum(axis=1)
    return apart + apart.T


def _in_order(updates: Sequence[Update]) -> list[Update]:
    return sorted(updates, key=lambda update: update.hospital)


def _by_coordinate(
    ordered: Sequence[Update],
    reduce: Callable[[_Stack], _Stack],
    *,
    names: Collection[str] | None = None,
) -> Weights:
    """Returns what `reduce` makes of every coordinate's values, which lie along the last axis."""
    result = {}
    for name in ordered[0].weights if names is None else names:
        like = ordered[0].weights[name]
        array = np.empty(like.shape, dtype=like.dtype)
        for place, stack in _pieces(ordered, name, like):
            values = reduce(stack)
            array[place] = np.rint(values) if np.issubdtype(like.dtype, np.integer) else values
        result[name] = array
    return result


def _pieces(
    updates: Sequence[Update], name: str, like: np.ndarray[Any, Any]
) -> Iterator[tuple[Any, _Stack]]:
    """Yields rows of an array with every hospital's values, float64 [rows, ..., hospitals]."""
    if like.ndim == 0:
        values = [update.weights[name] for update in updates]
        yield (), np.stack(values, axis=-1).astype(np.float64)
        return
    row_bytes = 8 * len(updates) * max(1, like.size // max(1, len(like)))
    rows = max(1, PIECE_BYTES // row_bytes)
    for start in range(0, len(like), rows):
        place = slice(start, start + rows)
        values = [rows_of(update.weights, name, place) for update in updates]
        yield place, np.stack(values, axis=-1, dtype=np.float64)
