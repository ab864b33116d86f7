"""One evaluation record per model, hospital and split: metrics and curves, and never an image."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fed_assets.errors import DisclosureRefused, NoImages, RunConfigError
from fed_assets.hospital.coordinator import require_open
from fed_assets.hospital.dataset import Dataset, open_dataset
from fed_assets.hospital.files import Store
from fed_assets.hospital.metrics import (
    BINS,
    Floats,
    Predictions,
    confidence_bins,
    drawn_values,
    point_values,
    resampled,
    with_intervals,
)
from fed_assets.hospital.network import build_network, scores
from fed_assets.hospital.resamples import FIRST, told_resamples
from fed_assets.hospital.suppression import disclosed_round
from fed_assets.hospital.training import best_device, even_batches, to_pixels
from fed_assets.hospital.weights import load_weights, read_weights

if TYPE_CHECKING:
    import torch

    from fed_assets.hospital.tensor_file import Images

BATCH_SIZE = 64  # what a batch comes to in between stays in memory that is at hand: twice as fast
HELD_OUT = ("test", "validation")  # what metrics of any weights may be asked of
ROC_POINTS = 100


def predict(
    network: torch.nn.Module,
    images: Images,
    rows: np.ndarray[Any, Any],
    *,
    classes: int,
) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Returns the probability of every class, float64 [rows, classes].

    Args:
        network: put into evaluation mode and onto the best device.
        images: uint8 [all, channels, height, width], read batch by batch.
        rows: the images among them to predict.
        classes: how many the network scores.
    """
    import torch

    device = best_device()
    network.to(device).eval()
    probabilities = np.empty((len(rows), classes))
    with torch.inference_mode():
        # Even ones: of an image by itself a processor adds up in another order.
        for batch in even_batches(np.arange(len(rows)), BATCH_SIZE) if len(rows) else ():
            pixels = to_pixels(images[rows[batch]], device)
            scored = scores(network, pixels, classes=classes).double().softmax(dim=1)
            probabilities[batch] = scored.cpu().numpy()
    return probabilities


def validation_metrics(
    network: torch.nn.Module, dataset: Dataset, examples: int, suppress_below: int
) -> tuple[dict[str, float], list[str]]:
    """Returns AUROC and accuracy on the validation split, and the names of those withheld.

    What is not defined is in neither.

    Raises:
        DisclosureRefused: `examples`, the training images, are too few for their number to be told.
    """
    rows = dataset.split("validation")
    probabilities = predict(network, dataset.images, rows, classes=len(dataset.classes))
    predictions = Predictions(dataset.labels[rows], probabilities)
    values = point_values(predictions) if len(rows) else {}
    named = {name: values.get(name) for name in ("auroc", "accuracy")}
    return disclosed_round(
        {name: value for name, value in named.items() if value is not None},
        confusion_of(predictions),
        examples=examples,
        below=suppress_below,
    )


def evaluate(
    arguments: Mapping[str, Any], store: Store, *, validated: bool = True
) -> dict[str, Any]:
    """Evaluates weights on one split of the hospital's images; the worker's task of the same name.

    Args:
        arguments: `weights` (path of a safetensors file), `network` (config), `split`, and
            `resamples`, `seed` and `threshold` of the intervals and the decision; `tell_resamples`,
            the metrics of which each resample's value is asked for, on open images alone.
        store: the hospital's store.
        validated: whether only images that validation let through count.

    Returns:
        The evaluation record, JSON-ready: `images`, `classes`, `metrics`, `roc`, `confusion`,
        `calibration`, `seconds`; and `resampled` where it is asked for, see
        `resamples.told_resamples`.

    Raises:
        NotValidated: validation has not let the images through.
        NoImages: the split is empty.
        DisclosureRefused: the split is the one that is learned from, or none; or resamples were
            asked for of images that are not open. Who knows the seed knows which images each
            resample drew, and has with their values as many equations on what became of each.
        RunConfigError: network, weights or threshold cannot be used.
    """
    started = time.perf_counter()
    threshold = threshold_of(arguments)
    split = held_out(arguments)
    told = list(arguments.get("tell_resamples") or ())
    if told:
        require_open(store, "evaluate with tell_resamples")
    dataset = open_dataset(store, validated=validated)
    rows = dataset.split(split)
    if len(rows) == 0:
        raise NoImages("There is no image to evaluate on", where=f"split {split}", seen="0 images")
    network = build_network(
        arguments["network"], channels=dataset.channels, classes=len(dataset.classes)
    )
    load_weights(network, read_weights(Path(arguments["weights"])))
    probabilities = predict(network, dataset.images, rows, classes=len(dataset.classes))
    predictions = Predictions(dataset.labels[rows], probabilities, threshold)
    resamples, seed = int(arguments.get("resamples", 1000)), int(arguments.get("seed", 0))
    drawn = drawn_values(predictions, resamples=resamples, seed=seed)
    images = f"{dataset.digest} {split}"
    first = resampled(len(rows), resamples=FIRST, seed=seed)
    return {
        **record(predictions, list(dataset.classes), drawn),
        **({"resampled": told_resamples(drawn, told, images=images, first=first)} if told else {}),
        "seconds": time.perf_counter() - started,
    }


def threshold_of(arguments: Mapping[str, Any], name: str = "threshold") -> float:
    """Returns the threshold that a task was told, 0.5 if none.

    Raises:
        RunConfigError: It is no probability.
    """
    threshold = float(arguments.get(name, 0.5))
    if not 0 <= threshold <= 1:
        raise RunConfigError("The threshold is no probability", seen=str(threshold))
    return threshold


def held_out(arguments: Mapping[str, Any]) -> str:
    """Returns the split that a task was told, the test split if none.

    Raises:
        DisclosureRefused: It is the one that is learned from, or none.
    """
    split = str(arguments.get("split", "test"))
    if split not in HELD_OUT:
        raise DisclosureRefused(
            "Of training images no figure leaves but by an update",
            where="the task's split",
            seen=f"split {split[:40]}",
            cure=f"Name one of {', '.join(HELD_OUT)}",
        )
    return split


def record(
    predictions: Predictions, classes: list[str], drawn: Mapping[str, Floats]
) -> dict[str, Any]:
    """Returns the evaluation record of predictions, all but its `seconds`.

    Args:
        predictions: of the images.
        classes: their names.
        drawn: of `metrics.drawn_values`.
    """
    positives = [1] if len(classes) == 2 else range(len(classes))
    curves = [roc_curve(predictions, index) for index in positives]
    return {
        "images": len(predictions.labels),
        "classes": classes,
        "metrics": with_intervals(predictions, drawn),
        "roc": [
            {"class": classes[index], **curve}
            for index, curve in zip(positives, curves, strict=True)
            if curve
        ],
        "confusion": confusion_of(predictions),
        "calibration": calibration(predictions),
    }


def confusion_of(predictions: Predictions) -> list[list[int]]:
    """Returns how many images of each class, a row each, were named as each class."""
    confusion = np.zeros((predictions.classes, predictions.classes), dtype=np.int64)
    np.add.at(confusion, (predictions.labels, predictions.predicted), 1)
    cells: list[list[int]] = confusion.tolist()
    return cells


def roc_curve(predictions: Predictions, index: int) -> dict[str, list[float]]:
    """Returns the ROC curve of one class against the rest, thinned to at most 100 points.

    The points kept are spread evenly along the curve, both ends among them. Empty where the class
    has no images, or all.
    """
    truth = predictions.labels == index
    if truth.all() or not truth.any():
        return {}
    score = predictions.probabilities[:, index]
    order = np.argsort(-score, kind="stable")
    ends = np.flatnonzero(np.diff(score[order], append=-np.inf))
    hits = np.cumsum(truth[order])[ends]
    true_positive_rate = np.concatenate([[0.0], hits / truth.sum()])
    false_positive_rate = np.concatenate([[0.0], (ends + 1 - hits) / (~truth).sum()])
    along = true_positive_rate + false_positive_rate
    kept = np.unique(np.searchsorted(along, np.linspace(0, along[-1], ROC_POINTS)))
    return {
        "false_positive_rate": false_positive_rate[kept].tolist(),
        "true_positive_rate": true_positive_rate[kept].tolist(),
    }


def calibration(predictions: Predictions) -> list[dict[str, Any]]:
    """Returns, for each of ten bins, mean confidence, share that was right, and images."""
    confidence, right, column = confidence_bins(predictions)
    bins = []
    for index in range(BINS):
        inside = column == index
        images = int(inside.sum())
        bins.append(
            {
                "confidence": float(confidence[inside].mean()) if images else None,
                "accuracy": float(right[inside].mean()) if images else None,
                "images": images,
            }
        )
    return bins
