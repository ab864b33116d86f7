"""What the one hospital of a probe's federation sends: known beforehand, and looked for."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from fed_assets.federation.weights import Weights
from fed_assets.posture.evidence import Attempt

EXECUTOR = "fed_assets.posture.canary_executor.CanaryExecutor"
ARRAY = "canary_layer.weight"
METRIC = "canary_metric"
AUROC = 0.7310585786300049  # eight bytes that occur nowhere else
SHAPE = (64, 64)


def sign_of(store: Path, round_number: int) -> Path:
    """Returns the file whose presence lets the hospital answer a round."""
    return store / f"answer-{round_number}"


def canary(seed: int, round_number: int) -> Weights:
    """Returns the weights of a round's update; round 0 stands for the initial ones."""
    noise = np.random.default_rng([seed, round_number]).normal(size=SHAPE)
    return {ARRAY: noise.astype(np.float32)}


def found_in(heard: bytes, update: Weights, hospital: str) -> Attempt | None:
    """Looks for an update, what is said of it and whose it is in what was heard of a federation.

    Returns:
        Succeeded, if anything of it stands there; None where less was heard than an update has,
        so that it shows nothing that nothing was found.
    """
    weights = update[ARRAY].tobytes()
    if len(heard) < len(weights):
        return None
    wanted = {
        "weights": weights[:512],
        "array_key": ARRAY.encode(),
        "metric_name": METRIC.encode(),
        "hospital": hospital.encode(),
    }
    found = {name: heard.count(content) for name, content in wanted.items()}
    return Attempt(any(found.values()), {**found, "bytes": len(heard)})
