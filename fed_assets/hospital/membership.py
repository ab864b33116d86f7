"""How well a model's loss tells what it learned from: an attack on open images, and on no others.

Whoever is learned from tends to have a lower loss, so an image whose loss is at most a threshold is
called a member (Yeom et al. 2018, arXiv:1709.01604). The attack's advantage is the share of the
members that it calls so, less that share of the others.

The others are images that the same hospital held out, weighed by class as its members are: a test
set from elsewhere, or another mix of classes, is told apart without any memory of a member. The
threshold is the one that gains most on four fifths of all images, and is judged on the last fifth,
in turn: judged on what it was chosen by, it would gain something where there is nothing to gain.
Yeom's own threshold, the mean training loss, needs no such care, but of many images it gains at
most what the best one does, and would let a model look safer than it is.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fed_assets.errors import RunConfigError, StorageError
from fed_assets.hospital.dataset import Dataset
from fed_assets.hospital.evaluation import HELD_OUT, predict
from fed_assets.hospital.files import Store
from fed_assets.hospital.metrics import INTERVAL, VALUES_AT_ONCE, Floats, Integers, number_or_none
from fed_assets.hospital.network import build_network
from fed_assets.hospital.reference import open_references
from fed_assets.hospital.weights import load_weights, read_weights
from fed_assets.privacy.digests import weights_digest

if TYPE_CHECKING:
    import torch
    from numpy.typing import NDArray

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


def membership(arguments: Mapping[str, Any], store: Store) -> dict[str, Any]:
    """Attacks a model by its loss on open images; the worker's task of the same name.

    Args:
        arguments: `hospitals`, by id the absolute path of the plain `store` and the `digest` of the
            images that the model learned from; `weights`, a path, and their `digest`; `network`;
            `resamples` and `seed` of the intervals.
        store: the coordinator's, which holds nothing of a hospital's own.

    Returns:
        `pooled`, and by id `hospitals`: the advantage, from -1 to 1, as `value`, `low` and `high`,
        a 95 % interval, and of how many `members` and `others` it is. The three are None where
        there are fewer than two of either.

    Raises:
        DisclosureRefused: a store is not one of open data.
        DataError: the images are not there, or no validation let them through.
        RunConfigError: network and weights cannot be used, or the images are other ones.
        StorageError: the weights are other ones.
    """
    places = arguments["hospitals"]
    datasets = open_references(store, [Path(each["store"]) for each in places.values()])
    other = [
        name
        for (name, place), dataset in zip(places.items(), datasets, strict=True)
        if dataset.digest != place["digest"]
    ]
    if other:
        raise RunConfigError(
            "The open images are not the ones that were learned from",
            where=", ".join(other),
            cure="Materialize reference_models again, then compare",
        )
    weights = read_weights(Path(arguments["weights"]))
    if weights_digest(weights) != arguments["digest"]:
        raise StorageError(
            "The weights are not those that were measured",
            where=str(arguments["weights"]),
            cure="Run the sandbox's lifecycle again with this seed",
        )
    first = datasets[0]
    network = build_network(
        arguments["network"], channels=first.channels, classes=len(first.classes)
    )
    load_weights(network, weights)
    found = advantages(
        known_images(network, datasets),
        hospitals=len(datasets),
        resamples=int(arguments["resamples"]),
        seed=int(arguments["seed"]),
    )
    return {"pooled": found.pop(), "hospitals": dict(zip(places, found, strict=True))}


def known_images(network: torch.nn.Module, datasets: Iterable[Dataset]) -> Known:
    """Returns the training images of each dataset and those held out, with a network's losses."""
    parts = []
    for index, dataset in enumerate(datasets):
        splits = [dataset.split(name) for name in ("train", *HELD_OUT)]
        rows = np.concatenate(splits)
        parts.append(
            Known(
                losses=losses(network, dataset, rows),
                learned=np.arange(len(rows)) < len(splits[0]),
                hospital=np.full(len(rows), index),
                label=dataset.labels[rows],
            )
        )
    return Known(
        losses=np.concatenate([each.losses for each in parts]),
        learned=np.concatenate([each.learned for each in parts]),
        hospital=np.concatenate([each.hospital for each in parts]),
        label=np.concatenate([each.label for each in parts]),
    )


def losses(network: torch.nn.Module, dataset: Dataset, rows: Integers) -> Floats:
    """Returns the cross-entropy of each image, float64 [rows], in nats."""
    classes = len(dataset.classes)
    probabilities = predict(network, dataset.images, rows, classes=classes)
    own = np.eye(classes, dtype=bool)[dataset.labels[rows]]
    # -log(p) would be 0 of every image that a network is all but sure of, and tell none apart.
    with np.errstate(divide="ignore"):
        return np.asarray(np.log1p(probabilities.sum(axis=1, where=~own) / probabilities[own]))


def advantages(
    known: Known, *, hospitals: int, resamples: int, seed: int
) -> list[dict[str, float | int | None]]:
    """Returns the advantage of one attack at each hospital and, last, over all of their images.

    Images of a class of which a hospital has no member, or no other, are left out. Members and
    others are drawn again apart, hospital by hospital and class by class, one fewer than there are
    (Rao and Wu 1988, JASA 83:231): of two images a plain bootstrap would show half the variance.
    The threshold is chosen anew in each resample, and an image stays in its fifth.
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

    def gained(weights: Floats) -> Floats:
        return np.asarray((weights * _called(known, worth, fold, weights)) @ share)

    drawn: list[Floats] = [np.empty((0, hospitals + 1))]
    todo = resamples if n else 0
    while todo > 0:
        some = min(todo, max(1, VALUES_AT_ONCE // n))
        drawn.append(gained(_resampled(stratum, some, generator)))
        todo -= some
    sample, values = np.concatenate(drawn), gained(np.ones(n))
    if not len(sample):
        sample = np.full((1, hospitals + 1), np.nan)
    low, high = np.quantile(sample, INTERVAL, axis=0)
    figures = np.where(np.minimum(members, others) >= LEAST, [values, low, high], np.nan)
    return [
        {
            **dict(zip(("value", "low", "high"), map(number_or_none, of), strict=True)),
            "members": int(members[index]),
            "others": int(others[index]),
        }
        for index, of in enumerate(figures.T)
    ]


def _comparable(known: Known) -> tuple[Known, Floats]:
    """Returns the images that can be compared, by rising loss, and how much each counts.

    A member counts once. The others of a hospital and class count as much as its members together.
    """
    alike = np.stack([known.hospital, known.label])
    cell = np.unique(alike, axis=1, return_inverse=True)[1].ravel()
    members, others = (np.bincount(cell, kind)[cell] for kind in (known.learned, ~known.learned))
    order = np.argsort(known.losses, kind="stable")
    kept = order[(members > 0)[order] & (others > 0)[order]]
    worth = np.where(known.learned, 1.0, members / np.maximum(others, 1))
    comparable = Known(
        losses=known.losses[kept],
        learned=known.learned[kept],
        hospital=known.hospital[kept],
        label=known.label[kept],
    )
    return comparable, worth[kept]


def _called(known: Known, worth: Floats, fold: Integers, weights: Floats) -> NDArray[np.bool_]:
    """Returns which images are called members, [..., n], by what the other folds show."""
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
