"""Two models on the very same images: how much better the one is, and how sure that is.

Each bootstrap resample draws images, and both models are measured on what was drawn (Efron and
Tibshirani 1993, section 13.3; of pairs, Bandos, Rockette and Gur 2006, Radiology 240:294). What is
hard for both then counts for neither, so the interval is narrower than that of two models tested
apart.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from fed_assets.errors import NoImages, RunConfigError
from fed_assets.hospital.dataset import Dataset, open_dataset
from fed_assets.hospital.evaluation import confusion_of, held_out, predict, threshold_of
from fed_assets.hospital.files import Store
from fed_assets.hospital.metrics import (
    METRICS,
    Floats,
    Integers,
    Predictions,
    interval,
    number_or_none,
    resampled,
)
from fed_assets.hospital.network import build_network
from fed_assets.hospital.weights import load_weights, read_weights

COMPARED = ("auroc", "accuracy")


def compare_models(arguments: Mapping[str, Any], store: Store) -> dict[str, Any]:
    """Compares two sets of weights on one split of the hospital's images.

    Args:
        arguments: `weights`, `network` and `threshold` of the one; `other_weights`,
            `other_network` and `other_threshold` of the other, whose network and threshold are the
            one's where they are left out; `split`; `resamples`, `seed` and `confidence` of the
            intervals.
        store: the hospital's store.

    Returns:
        `images`; `differences`, the one less the other, as `value`, `low` and `high` of each of
        `COMPARED`; `confusion`, of each; `agreement`, how many images both named rightly, only the
        one, only the other, and none; `seconds`.

    Raises:
        NotValidated: validation has not let the images through.
        NoImages: the split is empty.
        DisclosureRefused: the split is the one that is learned from, or none.
        RunConfigError: a network, weights, a threshold or the confidence cannot be used.
    """
    started = time.perf_counter()
    split = held_out(arguments)
    confidence = float(arguments.get("confidence", 0.95))
    if not 0 < confidence < 1:
        raise RunConfigError("The confidence is no probability", seen=str(confidence))
    threshold = threshold_of(arguments)
    other_threshold = threshold_of({"other_threshold": threshold, **arguments}, "other_threshold")
    dataset = open_dataset(store)
    rows = dataset.split(split)
    if len(rows) == 0:
        raise NoImages("There is no image to compare on", where=f"split {split}", seen="0 images")
    network = arguments["network"]
    one = _predictions(arguments["weights"], network, threshold, dataset, rows)
    network = arguments.get("other_network", network)
    other = _predictions(arguments["other_weights"], network, other_threshold, dataset, rows)
    return {
        "images": len(rows),
        "differences": paired_differences(
            one,
            other,
            resamples=int(arguments.get("resamples", 1000)),
            seed=int(arguments.get("seed", 0)),
            confidence=confidence,
        ),
        "confusion": {"one": confusion_of(one), "other": confusion_of(other)},
        "agreement": agreement(one, other),
        "seconds": time.perf_counter() - started,
    }


def _predictions(
    weights: str, config: Mapping[str, Any], threshold: float, dataset: Dataset, rows: Integers
) -> Predictions:
    classes = len(dataset.classes)
    network = build_network(config, channels=dataset.channels, classes=classes)
    load_weights(network, read_weights(Path(weights)))
    probabilities = predict(network, dataset.images, rows, classes=classes)
    return Predictions(dataset.labels[rows], probabilities, threshold)


def paired_differences(
    one: Predictions, other: Predictions, *, resamples: int, seed: int, confidence: float
) -> dict[str, dict[str, float | None]]:
    """Returns each of `COMPARED` as `value`, `low` and `high`: the one less the other.

    Resamples in which a metric is not defined do not count for it. An interval is None where the
    metric is, where there are fewer than two images, and where `resamples` is zero.
    """
    once = np.ones(len(one.labels))
    drawn: dict[str, list[Floats]] = {name: [] for name in COMPARED}
    for weights in resampled(len(one.labels), resamples=resamples, seed=seed):
        for name in COMPARED:
            drawn[name].append(METRICS[name](one, weights) - METRICS[name](other, weights))
    bounds = (1 - confidence) / 2, (1 + confidence) / 2
    values = {name: METRICS[name](one, once) - METRICS[name](other, once) for name in COMPARED}
    return {
        name: interval(number_or_none(value), drawn[name], bounds) for name, value in values.items()
    }


def agreement(one: Predictions, other: Predictions) -> list[int]:
    """Returns how many images both named rightly, only the one, only the other, and none."""
    right, also = one.predicted == one.labels, other.predicted == other.labels
    kinds = [right & also, right & ~also, ~right & also, ~right & ~also]
    return [int(kind.sum()) for kind in kinds]
