"""How well a model's loss tells what it learned from: an attack on open images, and on no others.

Whoever is learned from tends to have a lower loss (`loss_attack`). The others that an image is told
from are those that the same hospital held out: a test set from elsewhere is told apart without any
memory of a member.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fed_assets.errors import RunConfigError, StorageError
from fed_assets.hospital.dataset import Dataset
from fed_assets.hospital.evaluation import HELD_OUT, predict
from fed_assets.hospital.files import Store
from fed_assets.hospital.loss_attack import Known, attack
from fed_assets.hospital.metrics import Floats, Integers
from fed_assets.hospital.network import build_network
from fed_assets.hospital.reference import open_references
from fed_assets.hospital.resamples import told_resamples
from fed_assets.hospital.weights import load_weights, read_weights
from fed_assets.privacy.digests import weights_digest

if TYPE_CHECKING:
    import torch

ADVANTAGE = "membership_advantage"  # as the comparison calls it


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
        there are fewer than two of either. And `resampled`, what `pooled` comes to in each
        resample, see `resamples.told_resamples`: by one seed the same of the same images, whatever
        the model.

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
    shown = attack(
        known_images(network, datasets),
        hospitals=len(datasets),
        resamples=int(arguments["resamples"]),
        seed=int(arguments["seed"]),
    )
    found = shown.figures()
    images = " ".join(f"{name} {place['digest']}" for name, place in places.items())
    drawn = {ADVANTAGE: shown.drawn[:, -1]}
    return {
        "pooled": found.pop(),
        "hospitals": dict(zip(places, found, strict=True)),
        "resampled": told_resamples(drawn, [ADVANTAGE], images=images, first=[shown.first]),
    }


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
