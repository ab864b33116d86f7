"""Registered versions for tests, whole and small."""

from __future__ import annotations

from typing import Any

from fed_assets.registry.comparison import Difference, Differences
from fed_assets.registry.version import ModelVersion

HOSPITALS = ("north", "east", "south")
CONTROLS = {"transport": "mtls", "process": "own", "aggregation": "fedavg"}
POSTURE = {"controls": CONTROLS, "keeps_its_word": True, "shortfalls": []}


def figures(auroc: float, accuracy: float = 0.9, **others: float | None) -> dict[str, Any]:
    named = {"auroc": auroc, "accuracy": accuracy, "sensitivity": 0.9, "specificity": 0.8} | others
    return {name: {"value": each, "low": each, "high": each} for name, each in named.items()}


def a_version(number: int = 1, **changes: Any) -> ModelVersion:
    """Returns a version of three hospitals that all took part."""
    took_part = changes.get("participants", HOSPITALS)
    known: dict[str, Any] = {
        "sandbox": "minimal",
        "version": number,
        "run_id": f"{number:08d}-2222-3333-4444-555555555555",
        "mlflow_run": "f" * 32,
        "weights_digest": "a" * 64,
        "final_digest": "b" * 64,
        "data_digest": "c" * 64,
        "common_test_digest": "d" * 64,
        "classes": ("normal", "pneumonia"),
        "channels": 1,
        "image_size": 28,
        "network": {"_target_": "monai.networks.nets.ResNet", "n_input_channels": "@channels"},
        "recipe": {"learning_rate": 0.002},
        "threshold": 0.5,
        "participants": HOSPITALS,
        "absent": {},
        "evaluation": {
            "test": {"images": 40, **figures(0.95)},
            "hospitals": {name: {"images": 9, **figures(0.9)} for name in took_part},
        },
        "controls": CONTROLS,
        "epsilon": None,
        "epsilon_budget": None,
        "seed": 0,
        "rounds": 2,
        "code_version": "0.1.0+0123456789ab",
        "synthetic": True,
        "degraded": False,
        "shortfalls": (),
        "created": "2026-01-01T00:00:00+00:00",
    }
    return ModelVersion(**known | changes)


def a_difference(value: float, *, half: float = 0.02, images: int | None = 26) -> Difference:
    return Difference(value, value - half, value + half, images)


def differences(common: float = 0.0, **hospitals: float | str) -> Differences:
    """Returns differences of the common test set, and of hospitals: a number, or why none is told.

    Hospitals that are not named lose and win nothing.
    """
    told = {
        name: each if isinstance(each, str) else a_difference(each)
        for name, each in (dict.fromkeys(HOSPITALS, 0.0) | hospitals).items()
    }
    return Differences(told, a_difference(common, images=624), has_common=True)
