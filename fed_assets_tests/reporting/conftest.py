"""Federations of made-up figures, to report on."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest

from fed_assets.reporting.report import METRICS, ReportInputs

NAMES = ("Hospital General", "North Fjord Clinic", "Klinikum Görlitz", "St Brigid's", "San Luca")


def metric(value: float | None) -> dict[str, float | None]:
    if value is None:
        return {"value": None, "low": None, "high": None}
    return {"value": value, "low": max(0.0, value - 0.03), "high": min(1.0, value + 0.02)}


def evaluation(value: float | None, *, images: int, classes: Sequence[str]) -> dict[str, Any]:
    """Returns the record of one evaluation; with None, every metric but accuracy is undefined."""
    steps = [step / 50 for step in range(51)]
    drawn = classes[1:] if len(classes) == 2 else classes
    each = images // len(classes)
    metrics = {name: metric(value) for name in METRICS}
    metrics["accuracy"] = metric(0.75 if value is None else value)
    metrics["expected_calibration_error"] = metric(None if value is None else 1 - value)
    return {
        "images": images,
        "classes": list(classes),
        "metrics": metrics,
        "roc": [
            {
                "class": name,
                "false_positive_rate": steps,
                "true_positive_rate": [step ** (0.05 + 0.05 * index) for step in steps],
            }
            for index, name in enumerate(drawn)
        ],
        "confusion": [
            [each if true == predicted else true for predicted in range(len(classes))]
            for true in range(len(classes))
        ],
        "calibration": [
            {"confidence": 0.05 + 0.1 * tenth, "accuracy": 0.1 * tenth, "images": 3 * tenth}
            for tenth in range(10)
        ],
        "seconds": 0.4,
    }


def finished_round(number: int, hospitals: Sequence[str]) -> dict[str, Any]:
    learned = 1 - math.exp(-number / 3)
    return {
        "round_number": number,
        "participants": {
            hospital: {
                "loss": 0.7 - 0.5 * learned + 0.01 * index,
                "auroc": 0.5 + 0.45 * learned - 0.01 * index,
                "accuracy": 0.5 + 0.4 * learned - 0.01 * index,
                "examples": 100 + index,
                "seconds": 1.5,
                "bytes_up": 1_000_000,
                "bytes_down": 1_000_100,
                "update_digest": f"{number}{index}" * 32,
                "dataset_digest": f"d{index}" * 32,
            }
            for index, hospital in enumerate(hospitals)
        },
        "missing": {},
        "global_digest": f"{number:x}" * 64,
        "seconds": 4.0,
    }


@pytest.fixture
def federation() -> Callable[..., ReportInputs]:
    """Returns a maker of report inputs: hospitals, rounds and classes as asked, the rest plain."""

    def make(
        *,
        hospitals: int = 3,
        rounds: int = 4,
        classes: Sequence[str] = ("normal", "pneumonia"),
        synthetic: bool = False,
        **changes: Any,
    ) -> ReportInputs:
        ids = [f"hospital_{index + 1:02}" for index in range(hospitals)]
        roster = [
            {"id": each, "name": f"{NAMES[index % 5]} {index + 1}", "region": "Valencia"}
            for index, each in enumerate(ids)
        ]
        data = {"name": "pneumoniamnist", "digest": "3f" * 32, "classes": list(classes)}
        given: dict[str, Any] = {
            "sandbox": "minimal",
            "data": {**data, "synthetic": synthetic},
            "roster": roster,
            "excluded": {},
            "rounds": [finished_round(number + 1, ids) for number in range(rounds)],
            "test": evaluation(0.96, images=624, classes=classes),
            "hospitals": {
                each: evaluation(0.95 - 0.01 * index, images=50 + index, classes=classes)
                for index, each in enumerate(ids)
            },
            "seconds": 95.0,
            "seed": 7,
            "versions": {"torch": "2.13.0"},
            "machine": {"cpu": "2 cores"},
            "created": "2026-03-05T14:22:31+00:00",
            "controls": {"transport": "clear", "previews": "yes", "statistics": "full"},
        }
        return ReportInputs(**{**given, **changes})

    return make


LEARNING = {"network": {"_target_": "net"}, "recipe": {"batch_size": 32}, "threshold": 0.5}


@pytest.fixture
def referenced(federation: Callable[..., ReportInputs]) -> Callable[..., ReportInputs]:
    """Returns a maker of report inputs that have references of their kind, unless changed."""

    def tested(value: float) -> dict[str, Any]:
        return {name: metric(value) for name in METRICS}

    def make(*, references: dict[str, Any] | None = None, **changes: Any) -> ReportInputs:
        inputs = federation(**changes)
        names = list(inputs.hospitals)
        alone = {
            name: {"test": tested(0.9 - 0.01 * index), "own": {name: tested(0.8)}}
            for index, name in enumerate(names)
        }
        pooled = {"test": tested(0.975), "own": dict.fromkeys(names, tested(0.97))}
        inputs.data["test_digest"] = "7e" * 32
        known = {
            "rounds": len(inputs.rounds),
            "learning": LEARNING,
            "test_digest": "7e" * 32,
            "digests": {name: f"d{index}" * 32 for index, name in enumerate(names)},
            "seeds": {"7": {"pooled": pooled, "alone": alone}},
        }
        return replace(
            inputs, reference_learning=LEARNING, references={**known, **(references or {})}
        )

    return make


@pytest.fixture
def undefined() -> dict[str, Any]:
    """Returns the evaluation of a hospital whose test images are all of one class."""
    return evaluation(None, images=12, classes=("normal", "pneumonia"))
