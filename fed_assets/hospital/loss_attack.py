"""An attack on a model by its losses: whoever was learned from tends to have a lower one.

An image whose loss is at most a threshold is called a member (Yeom et al. 2018, arXiv:1709.01604).
The attack's advantage is the share of the members that it calls so, less that share of the others,
weighed by class as the members are: another mix of classes is told apart without any memory of a
member. The threshold is the one that gains most on four fifths of all images, and is judged on the
last fifth, in turn: judged on what it was chosen by, it would gain something where there is nothing
to gain. Yeom's own threshold, the mean training loss, needs no such care, but of many images it
gains at most what the best one does, and would let a model look safer than it is.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fed_assets.hospital.metrics import INTERVAL, VALUES_AT_ONCE, Floats, Integers, number_or_none
from fed_assets.hospital.resamples import FIRST

FOLDS = 5
LEAST = 2  # images of each kind, without which there is no figure


@dataclass(frozen=True)
class Known:
    """Images of which it is known whether they were learned from, an entry [n] each.

    Attributes:
        losses: In nats.
        learned: Whether a model learned from it.
        hospital: Index of whose it is.
        label: Its class.
    """

    losses: Floats
    learned: NDArray[np.bool_]
    hospital: Integers
    label: Integers

    def rows(self, rows: Integers) -> Known:
        """Returns some of the images, in this order."""
        return Known(
            losses=self.losses[rows],
            learned=self.learned[rows],
            hospital=self.hospital[rows],
            label=self.label[rows],
        )


@dataclass(frozen=True)
class Attack:
    """What one attack showed at each hospital and, last, over all of their images, [H + 1] each.

    Attributes:
        values: The advantages.
        drawn: What they come to in each resample, [resamples, H + 1].
        first: How often the first resamples drew each image, [some, n].
        members: How many images that were learned from.
        others: How many that were not.
    """

    values: Floats
    drawn: Floats
    first: Floats
    members: Integers
    others: Integers

    def figures(self) -> list[dict[str, float | int | None]]:
        """Returns each as `value`, `low` and `high`, with how many `members` and `others`."""
        drawn = self.drawn if len(self.drawn) else np.full((1, len(self.values)), np.nan)
        low, high = np.quantile(drawn, INTERVAL, axis=0)
        enough = np.minimum(self.members, self.others) >= LEAST
        known = np.where(enough, [self.values, low, high], np.nan)
        return [
            {
                **dict(zip(("value", "low", "high"), map(number_or_none, of), strict=True)),
                "members": int(self.members[index]),
                "others": int(self.others[index]),
            }
            for index, of in enumerate(known.T)
        ]


def attack(known: Known, *, hospitals: int, resamples: int, seed: int) -> Attack:
    """Returns what one attack shows.

    Images of a class of which a hospital has no member, or no other, are left out. Members and
    others are drawn again apart, hospital by hospital and class by class, one fewer than there are
    (Rao and Wu 1988, JASA 83:231): of two images a plain bootstrap would show half the variance.
    The threshold is chosen anew in each resample, and an image stays in its fifth. Fifths and
    resamples are drawn of the images in their order, of which no model knows: two models that are
    attacked on the same images by one seed are attacked in pairs.
    """
    known, worth = _comparable(known)
    n, generator = len(known.losses), np.random.default_rng(seed)
    alike = np.stack([known.hospital, known.label, known.learned])
    stratum = np.unique(alike, axis=1, return_inverse=True)[1].ravel()
    fold = np.empty(n, dtype=np.int64)
    fold[np.lexsort((generator.random(n), stratum))] = np.arange(n) % FOLDS
    whose = np.column_stack([known.hospital == each for each in range(hospitals)])
    whose = np.column_stack([whose, np.ones(n, dtype=bool)])
    members, others = (whose[kind].sum(axis=0) for kind in (known.learned, ~known.learned))
    share = whose * np.where(known.learned, worth, -worth)[:, None] / np.maximum(members, 1)
    order = np.argsort(known.losses, kind="stable")
    rising, share = known.rows(order), share[order]

    def gained(weights: Floats) -> Floats:
        weights = weights[..., order]
        called = _called(rising, worth[order], fold[order], weights)
        return np.asarray((weights * called) @ share)

    drawn, first = [np.empty((0, hospitals + 1))], np.empty((0, n))
    todo = resamples if n else 0
    while todo > 0:
        some = min(todo, max(1, VALUES_AT_ONCE // n))
        weights = _resampled(stratum, some, generator)
        first = np.concatenate([first, weights[: FIRST - len(first)]])
        drawn.append(gained(weights))
        todo -= some
    return Attack(gained(np.ones(n)), np.concatenate(drawn), first, members, others)


def _comparable(known: Known) -> tuple[Known, Floats]:
    """Returns the images that can be compared, in their order, and how much each counts.

    A member counts once. The others of a hospital and class count as much as its members together.
    """
    alike = np.stack([known.hospital, known.label])
    cell = np.unique(alike, axis=1, return_inverse=True)[1].ravel()
    members, others = (np.bincount(cell, kind)[cell] for kind in (known.learned, ~known.learned))
    kept = np.flatnonzero((members > 0) & (others > 0))
    worth = np.where(known.learned, 1.0, members / np.maximum(others, 1))
    return known.rows(kept), worth[kept]


def _called(known: Known, worth: Floats, fold: Integers, weights: Floats) -> NDArray[np.bool_]:
    """Returns which images are called members, [..., n], by what the other folds show.

    Args:
        known: The images, by rising loss.
        worth: How much each counts, [n].
        fold: Its fold, [n].
        weights: How often it was drawn, [..., n].
    """
    n = len(known.losses)
    # Images of the same loss are called alike.
    within = np.flatnonzero(known.losses[1:] == known.losses[:-1])
    called = np.zeros(weights.shape, dtype=bool)
    for each in range(FOLDS if n else 0):
        seen = worth * (fold != each)
        gap = _cumulated(weights * (seen * known.learned))
        gap -= _cumulated(weights * (seen * ~known.learned))
        gap[..., within] = -np.inf
        best = gap.argmax(axis=-1)[..., None]
        # Where nothing is gained by any threshold, nobody is called a member.
        best[np.take_along_axis(gap, best, axis=-1) <= 0] = -1
        judged = np.flatnonzero(fold == each)
        called[..., judged] = judged <= best
    return called


def _cumulated(part: Floats) -> Floats:
    """Returns which share of the whole comes up to each image; 0 of nothing."""
    sums = part.cumsum(axis=-1, out=part)
    whole = sums[..., -1:].copy()
    return np.divide(sums, whole, out=sums, where=whole > 0)


def _resampled(stratum: Integers, some: int, generator: np.random.Generator) -> Floats:
    """Returns how much each image counts in each of some resamples, [some, n]."""
    weights = np.ones((some, len(stratum)))
    for each in range(int(stratum.max()) + 1):
        rows = np.flatnonzero(stratum == each)
        n = len(rows)
        if n > 1:
            times = generator.multinomial(n - 1, np.full(n, 1 / n), size=some)
            weights[:, rows] = times * (n / (n - 1))
    return weights
