"""One hospital's part of one round, the same in every arm: evaluate, one epoch, evaluate."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.federation.small_cnn import SmallCnn
from fed_assets.hospital.dataset import Dataset, open_dataset
from fed_assets.hospital.evaluation import predict
from fed_assets.hospital.files import Store
from fed_assets.hospital.metrics import Predictions, point_values
from fed_assets.hospital.network import build_network
from fed_assets.hospital.recipe import Recipe
from fed_assets.hospital.training import train_round
from fed_assets.hospital.weights import Weights, load_weights, weights_of

SMALL_CNN = {"_target_": "benchmarks.federation.small_cnn.SmallCnn"}


@dataclass(frozen=True)
class Step:
    """What a hospital answers: weights, images learned from, metrics, seconds, images' digest."""

    weights: Weights
    examples: int
    metrics: dict[str, float]
    seconds: float
    dataset_digest: str


def take_step(
    hospital: str, store: Path, weights: Weights, instructions: Mapping[str, Any]
) -> Step:
    """Evaluates the weights that came in, trains them one epoch, and evaluates them again.

    Args:
        hospital: Its id, part of the seed of every draw.
        store: The hospital's store, whose images validation let through.
        weights: What came in.
        instructions: What `Work.instructions` returns.
    """
    started = time.perf_counter()
    dataset = open_dataset(Store(store))
    classes, channels = instructions["classes"], instructions["channels"]
    network = build(instructions["network"], channels=channels, classes=classes)
    load_weights(network, weights)
    before = _auroc(network, dataset)
    trained = train_round(
        network,
        dataset.images,
        dataset.labels,
        dataset.split("train"),
        Recipe.of(instructions["recipe"]),
        classes=classes,
        hospital=hospital,
        round_number=instructions["round_number"],
        rounds=instructions["rounds"],
        seed=instructions["seed"],
    )
    metrics = {"loss": trained.loss, "auroc": before, "auroc_after": _auroc(network, dataset)}
    seconds = time.perf_counter() - started
    return Step(weights_of(network), trained.examples, metrics, seconds, dataset.digest)


def build(config: Mapping[str, Any], *, channels: int, classes: int) -> Any:
    """Returns the small network, or any other of the roster's kind."""
    if config == SMALL_CNN:
        return SmallCnn(channels, classes)
    return build_network(config, channels=channels, classes=classes)


def _auroc(network: Any, dataset: Dataset) -> float:
    rows = dataset.split("validation")
    probabilities = predict(network, dataset.images, rows, classes=len(dataset.classes))
    return float(point_values(Predictions(dataset.labels[rows], probabilities))["auroc"] or 0.0)
