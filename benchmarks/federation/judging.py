"""Whether two arms did the same work: their final weights, and what these make of the test set."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.federation.step import build
from benchmarks.federation.work import Work
from fed_assets.federation.weights import Weights, read_weights
from fed_assets.hospital.dataset import open_dataset
from fed_assets.hospital.evaluation import predict
from fed_assets.hospital.files import Store
from fed_assets.hospital.metrics import Predictions, point_values
from fed_assets.hospital.weights import load_weights

# Sums in another order differ in the last bit, and training makes more of it.
MOST_DISTANCE = 0.05
MOST_AUROC_DIFFERENCE = 0.01


def judge(work: Work, weights: str, reference: str) -> dict[str, Any]:
    """Returns how an arm's final weights compare with those of another that did the same work.

    Returns:
        `auroc` on the common test set; `distance` from the reference, as a share of the way that
        the reference's weights went from the first ones; and `same_work`, whether both are as
        close as work in another order of summation is.
    """
    initial, own, other = (
        read_weights(Path(path)) for path in (work.initial_weights, weights, reference)
    )
    distance = relative_distance(initial, own, other)
    auroc, expected = (_auroc(work, each) for each in (own, other))
    return {
        "auroc": round(auroc, 4),
        "distance": round(distance, 6),
        "same_work": distance <= MOST_DISTANCE and abs(auroc - expected) <= MOST_AUROC_DIFFERENCE,
    }


def relative_distance(initial: Weights, own: Weights, other: Weights) -> float:
    """Returns the distance between two sets of weights over that from the first to the second."""
    start, here, there = (_flat(weights) for weights in (initial, own, other))
    return float(np.linalg.norm(here - there) / np.linalg.norm(there - start))


def _flat(weights: Weights) -> NDArray[np.float64]:
    """Returns all that is learned in one row; whole numbers are counters."""
    learned = [array for _, array in sorted(weights.items()) if array.dtype.kind == "f"]
    return np.concatenate([array.ravel() for array in learned]).astype(np.float64)


def _auroc(work: Work, weights: Weights) -> float:
    dataset = open_dataset(Store(Path(work.test_store)), validated=False)
    network = build(work.network, channels=work.channels, classes=work.classes)
    load_weights(network, weights)
    rows = dataset.split("test")
    probabilities = predict(network, dataset.images, rows, classes=work.classes)
    return float(point_values(Predictions(dataset.labels[rows], probabilities))["auroc"] or 0.0)
