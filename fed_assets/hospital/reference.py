"""What one model learns without a federation: from one hospital's images, or from all pooled.

A reference trains as a federation's hospitals do, with the same network, first weights, recipe and
number of passes; only nobody averages between the rounds.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fed_assets.errors import DisclosureRefused, NoImages, RunConfigError
from fed_assets.hospital.dataset import Dataset, open_dataset
from fed_assets.hospital.files import Store
from fed_assets.hospital.network import build_network
from fed_assets.hospital.recipe import Recipe
from fed_assets.hospital.training import train_round
from fed_assets.hospital.weights import load_weights, read_weights, weights_of, write_weights
from fed_assets.privacy.digests import weights_digest
from fed_assets.sandboxes.presets import REFERENCE


def train_reference(arguments: Mapping[str, Any], store: Store) -> dict[str, Any]:
    """Trains a reference model; the worker's task of the same name.

    Args:
        arguments: `name`, which with `seed` decides every random draw; `stores`, the absolute paths
            of the plain stores whose training images are pooled; `network`, `recipe` and `rounds`;
            `initial`, the path of the first weights; and `weights`, the path to write.
        store: the coordinator's, which holds nothing of a hospital's own.

    Returns:
        `images` that were learned from, `digest` of the weights, `train_seconds` and
        `train_cpu_seconds`, and the `loss` of the last round.

    Raises:
        DisclosureRefused: one of the stores is not a reference's, but a hospital's own.
        NoImages: there is no training image.
        RunConfigError: network, weights or recipe cannot be used, or the stores are not alike.
    """
    folders = [Path(each) for each in arguments["stores"]]
    return train_pooled(open_references(store, folders), arguments)


def train_pooled(pooled: Sequence[Dataset], arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Trains one model on the training images of datasets that are open; see `train_reference`.

    Args:
        pooled: the datasets.
        arguments: those of `train_reference`, but for `stores`.

    Raises:
        NoImages: there is no training image.
        RunConfigError: network, weights or recipe cannot be used, or the datasets are not alike.
    """
    images, labels = training_images(pooled)
    first = pooled[0]
    network = build_network(
        arguments["network"], channels=first.channels, classes=len(first.classes)
    )
    load_weights(network, read_weights(Path(arguments["initial"])))
    recipe, rounds = Recipe.of(arguments["recipe"]), int(arguments["rounds"])
    began, began_cpu = time.perf_counter(), time.process_time()
    loss = None
    for round_number in range(1, rounds + 1):
        loss = train_round(
            network,
            images,
            labels,
            np.arange(len(labels)),
            recipe,
            classes=len(first.classes),
            hospital=str(arguments["name"]),
            round_number=round_number,
            rounds=rounds,
            seed=int(arguments["seed"]),
        ).loss
    weights = weights_of(network)
    write_weights(weights, Path(arguments["weights"]))
    return {
        "images": len(labels),
        "digest": weights_digest(weights),
        "train_seconds": round(time.perf_counter() - began, 3),
        "train_cpu_seconds": round(time.process_time() - began_cpu, 3),
        "loss": loss,
    }


def open_references(store: Store, folders: Sequence[Path]) -> list[Dataset]:
    """Opens what several hospitals have of open images, alike and validated.

    Args:
        store: the coordinator's, which holds nothing of a hospital's own.
        folders: the absolute paths of the hospitals' plain stores.

    Raises:
        DisclosureRefused: one of the stores is not a reference's, but a sandbox's.
        RunConfigError: the datasets differ in classes, channels or size.
        DataError: a dataset is not there, or no validation let it through.
    """
    if {REFERENCE} != {store.folder.name, *(folder.name for folder in folders)}:
        raise DisclosureRefused(
            "Images are pooled of open data alone, and a store is a sandbox's",
            where=", ".join(sorted({folder.name for folder in folders} - {REFERENCE})),
        )
    datasets = [open_dataset(Store(folder)) for folder in folders]
    _require_alike(datasets)
    return datasets


def _require_alike(datasets: Iterable[Dataset]) -> None:
    kinds = {(each.classes, each.channels, each.image_size) for each in datasets}
    if len(kinds) > 1:
        raise RunConfigError(
            "Images of different kinds cannot be pooled",
            where="reference_models",
            seen=f"{len(kinds)} kinds of classes, channels and size",
            cure="Name the classes alike by the roster's `data.classes`",
        )


def training_images(
    datasets: Sequence[Dataset],
) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Returns the training images of alike datasets, one after the other, and their labels.

    Returns:
        uint8 [images, channels, size, size] and int64 [images].

    Raises:
        NoImages: there is none.
    """
    rows = [(each, each.split("train")) for each in datasets]
    if not sum(len(found) for _, found in rows):
        raise NoImages("There is no image to learn from", where="split train", seen="0 images")
    images = np.concatenate([np.asarray(each.images[found]) for each, found in rows])
    labels = np.concatenate([each.labels[found] for each, found in rows])
    return images, labels
