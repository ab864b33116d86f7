"""What can be made of numbers that a server was sent: whose update, which picture, who was in it.

All of them know what they look for, as nobody does who has to guess it: what they do not find, a
guesser does not find either.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from fed_assets.posture.canary_pictures import Pictures
from fed_assets.posture.dense_network import (
    FIRST,
    FIRST_BIAS,
    UNITS,
    Floats,
    Images,
    Labels,
    losses,
    parts,
)

RESAMPLES, CONFIDENCE = 1000, 0.95
_PAIRS = np.triu_indices(UNITS, 1)


@dataclass(frozen=True)
class Interval:
    """A figure, and its 95 % interval."""

    value: float
    low: float
    high: float


def likeness(numbers: Floats, update: Floats) -> float:
    """Returns the cosine of the angle between numbers and an update, whatever sizes they have.

    That is 1 for the update itself, clipped, weighed or rounded to fixed point; of numbers that
    have nothing to do with it it is 0 within a few times 1 / sqrt(n).
    """
    sizes = float(np.linalg.norm(numbers) * np.linalg.norm(update))
    return abs(float(numbers @ update)) / sizes if sizes else 0.0


def inverted(change: Floats, picture: Images) -> float:
    """Returns how well a picture can be read from the change of a dense layer.

    For a unit i of that layer, with output W_i x + b_i, the loss's gradients by W_i and by b_i are
    d_i x and d_i: their quotient is the picture x (Phong et al. 2018,
    doi:10.1109/TIFS.2017.2787987, section III). AdamW's first step leaves the signs of both, and so
    that of x: whether a pixel is darker or brighter than mid-grey. Of several pictures' gradients
    that were added up, the difference of two units may leave one.

    Args:
        change: What changed of the weights, [SIZE].
        picture: What is looked for.

    Returns:
        The correlation with the picture's pixels of what comes nearest to it: of all units
        together, of one, or of the sum or the difference of two.
    """
    layer = parts(change)
    weights, biases = layer[FIRST], layer[FIRST_BIAS]
    together = biases @ weights
    units = weights * np.sign(biases)[:, None]
    one, other = units[_PAIRS[0]], units[_PAIRS[1]]
    read = np.concatenate([together[None], units, one - other, one + other])
    read = read - read.mean(axis=1, keepdims=True)
    truth = picture.ravel() - picture.mean()
    sizes = np.linalg.norm(read, axis=1) * np.linalg.norm(truth)
    found = np.divide(read @ truth, sizes, out=np.zeros(len(read)), where=sizes > 0)
    return float(np.abs(found).max())


def told_apart(under: Iterable[tuple[Floats, Pictures, Pictures]], *, seed: int) -> Interval:
    """Returns how well a loss tells what was learned from: the AUC, with a bootstrap's interval.

    Whoever is learned from has a lower loss (Yeom et al. 2018, arXiv:1709.01604). The AUC is how
    often one of them has a lower loss than somebody who is not.

    Args:
        under: Weights, what was learned from as they came to be, and others.
        seed: Of the bootstrap.
    """
    from scipy.stats import bootstrap

    known = [(losses(weights, *_of(a)), losses(weights, *_of(b))) for weights, a, b in under]
    members, others = (np.concatenate(each) for each in zip(*known, strict=True))
    found = bootstrap(
        (members, others),
        _auc,
        n_resamples=RESAMPLES,
        batch=100,
        confidence_level=CONFIDENCE,
        method="percentile",
        rng=np.random.default_rng(seed),
    ).confidence_interval
    return Interval(float(_auc(members, others)), float(found.low), float(found.high))


def _of(pictures: Pictures) -> tuple[Images, Labels]:
    return pictures.images, pictures.labels


def _auc(members: Floats, others: Floats, axis: int = -1) -> Any:
    """Returns the AUC of losses [..., n] and [..., m]; a tie counts half."""
    del axis  # it is the last one
    higher = np.sign(others[..., None, :] - members[..., :, None])
    return (higher.mean(axis=(-2, -1)) + 1) / 2


def sums(numbers: Sequence[Floats]) -> list[Floats]:
    """Returns the sums of every two or more of some vectors."""
    chosen = range(1, 1 << len(numbers))
    subsets = [[each for bit, each in enumerate(numbers) if mask >> bit & 1] for mask in chosen]
    return [np.sum(subset, axis=0) for subset in subsets if len(subset) > 1]
