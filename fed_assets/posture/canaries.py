"""What the one hospital of a probe's federation sends: known beforehand, and looked for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

EXECUTOR = "fed_assets.posture.canary_executor.CanaryExecutor"
ARRAY = "canary_layer.weight"
METRIC = "canary_metric"
AUROC = 0.7310585786300049  # eight bytes that occur nowhere else
SHAPE = (64, 64)


def sign_of(store: Path, round_number: int) -> Path:
    """Returns the file whose presence lets the hospital answer a round."""
    return store / f"answer-{round_number}"


def canary(seed: int, round_number: int) -> dict[str, np.ndarray[Any, Any]]:
    """Returns the weights of a round's update; round 0 stands for the initial ones."""
    noise = np.random.default_rng([seed, round_number]).normal(size=SHAPE)
    return {ARRAY: noise.astype(np.float32)}
