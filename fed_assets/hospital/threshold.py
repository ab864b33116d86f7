"""One threshold per hospital, chosen on its own validation images.

Training with differential privacy leaves probabilities that rank well and are badly calibrated, so
a threshold of 0.5 would waste what was learned.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from fed_assets.hospital.dataset import open_dataset
from fed_assets.hospital.evaluation import predict
from fed_assets.hospital.files import Store
from fed_assets.hospital.metrics import Predictions, balanced_accuracy
from fed_assets.hospital.network import build_network
from fed_assets.hospital.weights import load_weights, read_weights

# Few and fixed: which of these it is tells next to nothing of any one image. Even in the log of the
# odds, which is what noise shifts: from 0.011 to 0.989, with 0.5 in the middle.
GRID = tuple(round(1 / (1 + math.exp(-step / 2)), 3) for step in range(-9, 10))


def choose_threshold(arguments: Mapping[str, Any], store: Store) -> dict[str, Any]:
    """Chooses the hospital's threshold for some weights; the worker's task of the same name.

    Args:
        arguments: `weights` (path of a safetensors file) and `network` (config).
        store: the hospital's store.

    Returns:
        `threshold`, that of `GRID` with the best balanced accuracy (Youden 1950, Cancer 3:32), the
        middle one of several; None unless there are two classes, with images of both. `images` of
        each class.

    Raises:
        NotValidated: validation has not let the images through.
        RunConfigError: network or weights cannot be used.
    """
    dataset = open_dataset(store)
    classes = len(dataset.classes)
    rows = dataset.split("validation")
    labels = dataset.labels[rows]
    images = np.bincount(labels, minlength=classes).tolist()
    if classes != 2 or min(images) == 0:
        return {"threshold": None, "images": images}
    network = build_network(arguments["network"], channels=dataset.channels, classes=classes)
    load_weights(network, read_weights(Path(arguments["weights"])))
    probabilities = predict(network, dataset.images, rows, classes=classes)
    return {"threshold": best_threshold(labels, probabilities), "images": images}


def best_threshold(labels: np.ndarray[Any, Any], probabilities: np.ndarray[Any, Any]) -> float:
    """Returns the threshold of `GRID` with the best balanced accuracy, the middle one of several.

    Args:
        labels: 0 or 1, both among them.
        probabilities: [images, 2].
    """
    once = np.ones(len(labels))
    reached = np.array(
        [float(balanced_accuracy(Predictions(labels, probabilities, each), once)) for each in GRID]
    )
    best = np.flatnonzero(reached >= reached.max() - 1e-9)
    return GRID[int(best[(len(best) - 1) // 2])]
