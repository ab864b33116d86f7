"""Measurement records of made-up figures, to compare."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

SANDBOXES = ("minimal", "eyes_on", "eyes_off", "confidential_vm", "configurable")
# wall seconds, levels of the three ladders, probes (passed, inconclusive, failed), AUROC, manual
# steps: what a sandbox gives and takes rises from the first to the last.
FIGURES = {
    "minimal": (70.0, (0, 0, 0), (4, 0, 9), 0.979, 0),
    "eyes_on": (115.0, (0, 3, 0), (8, 0, 5), 0.978, 1),
    "eyes_off": (140.0, (3, 3, 1), (13, 0, 0), 0.976, 2),
    "confidential_vm": (150.0, (3, 3, 1), (17, 1, 0), 0.974, 3),
    "configurable": (800.0, (3, 3, 1), (13, 0, 0), 0.813, 2),
}


def interval(value: float, half_width: float) -> dict[str, float]:
    return {
        "value": value,
        "low": max(0.0, value - half_width),
        "high": min(1.0, value + half_width),
    }


def hospital(auroc: float, *, epsilon: float | None) -> dict[str, Any]:
    return {
        "auroc": interval(auroc, 0.03),
        "accuracy": interval(auroc - 0.05, 0.04),
        "f1": interval(auroc - 0.04, 0.04),
        "sensitivity": interval(auroc - 0.06, 0.05),
        "calibration_error": interval(0.05, 0.02),
        "membership_advantage": interval(0.03, 0.1),
        "gain_auroc": 0.01,
        "cpu_seconds": 12.0,
        "train_seconds": 9.0,
        "bytes_up": 18_000_000,
        "bytes_down": 18_000_000,
        "peak_memory_bytes": 300_000_000,
        "epsilon": epsilon,
        "images": 50,
    }


def figures_of(sandbox: str, seed: int) -> dict[str, Any]:
    seconds, (at_rest, in_transit, in_use), probes, auroc, steps = FIGURES[sandbox]
    slower = seconds * (1 + 0.02 * seed)
    epsilon = 8.0 if sandbox == "configurable" else None
    return {
        "sandbox": sandbox,
        "run_id": f"{sandbox}-{seed}",
        "seed": seed,
        "rounds": 15,
        "created": "2026-03-05T14:22:31+00:00",
        "data": {
            "name": "pneumoniamnist",
            "digest": "3f" * 32,
            "synthetic": False,
            "classes": ["normal", "pneumonia"],
        },
        "machine": {"cpu": "2 cores"},
        "versions": {"torch": "2.13.0"},
        "controls": {
            "transport": {
                "declared": "clear" if sandbox == "minimal" else "mtls",
                "enforced": True,
                "measured": {"ladder": "in_transit", "level": in_transit, "highest": 4},
            }
        },
        "efficiency": {
            "wall_seconds": slower,
            "cpu_seconds": 2 * slower,
            "peak_memory_bytes": 2_000_000_000 + 1_000_000 * int(slower),
            "bytes_up": 180_000_000,
            "bytes_down": 180_000_000,
            "startup_seconds": slower / 10,
            "round_overhead_seconds": slower / 100,
            "energy_joules": None,
            "cost": None,
        },
        "security": {
            "keeps_its_word": True,
            "at_rest": at_rest,
            "in_transit": in_transit,
            "in_use": in_use,
            "probes": dict(zip(("passed", "inconclusive", "failed"), probes, strict=True)),
            "membership_advantage": interval(0.02, 0.02),
            "epsilon": epsilon,
            "delta": 1e-5,
        },
        "quality": {
            "auroc": interval(auroc, 0.01),
            "accuracy": interval(auroc - 0.05, 0.02),
            "f1": interval(auroc - 0.04, 0.02),
            "worst_sensitivity": interval(auroc - 0.1, 0.08),
            "calibration_error": interval(1 - auroc, 0.01),
        },
        "effort": {"setup_seconds": (2.0 + steps) * (1 + 0.02 * seed), "manual_steps": steps},
        "hospitals": {
            f"hospital_{number:02}": hospital(auroc - 0.001 * number, epsilon=epsilon)
            for number in range(1, 11)
        },
    }


def with_resamples(run: dict[str, Any], *, alike: float = 0.9, count: int = 500) -> dict[str, Any]:
    """Adds resamples of the common test set and of others to a run, and gives it their intervals.

    Args:
        run: the record; its figures keep their values.
        alike: how far the resamples of two runs go together, from 0 to 1.
        count: of resamples.
    """
    together = np.random.default_rng(0).standard_normal(count)
    name = f"{run['sandbox']} {run['seed']}"
    apart = np.random.default_rng(zlib.crc32(name.encode())).standard_normal(count)
    moved = np.sqrt(alike) * together + np.sqrt(1 - alike) * apart

    def told(of: dict[str, Any], figure: str, way: int) -> list[float]:
        value = of[figure]["value"]
        drawn = np.clip(value + way * 0.005 * moved, 0, 1).round(6)
        low, high = np.quantile(drawn, [0.025, 0.975]).tolist()
        of[figure] = {"value": value, "low": low, "high": high}
        return drawn.tolist()

    values = {}
    for figure in ("auroc", "accuracy", "f1", "calibration_error"):
        values[figure] = told(run["quality"], figure, -1 if figure == "calibration_error" else 1)
    run["resampled"] = {"of": "5a" * 32, "values": values}
    run["resampled_elsewhere"] = {
        "worst_sensitivity": {"of": "5b", "values": told(run["quality"], "worst_sensitivity", 1)},
        "membership_advantage": {
            "of": "5c",
            "values": told(run["security"], "membership_advantage", -1),
        },
    }
    return run


def with_references(run: dict[str, Any], *, private: bool = False) -> dict[str, Any]:
    """Adds references of the run's kind: other ones with another seed."""
    seed = run["seed"]

    def model(auroc: float) -> dict[str, Any]:
        return {"auroc": interval(auroc, 0.01), "accuracy": interval(auroc - 0.06, 0.02)}

    run["references"] = {
        "why_not": None,
        "private": private,
        "pooled": model(0.9812 - 0.002 * seed),
        "pooled_from": list(run["hospitals"]),
        "alone": {
            f"hospital_{number:02}": model(0.95 - 0.005 * number - 0.003 * seed)
            for number in range(1, 11)
        },
    }
    return run


@pytest.fixture
def measured() -> Callable[..., dict[str, Any]]:
    """Returns a maker of records: of a sandbox and a seed, with entries changed by their path."""

    def make(sandbox: str = "minimal", seed: int = 0, **changes: Any) -> dict[str, Any]:
        record = figures_of(sandbox, seed)
        for path, value in changes.items():
            *sections, last = path.split("__")
            entry = record
            for section in sections:
                entry = entry[section]
            entry[last] = value
        return record

    return make


@pytest.fixture
def five(measured: Callable[..., dict[str, Any]]) -> list[dict[str, Any]]:
    """Returns a record of each of the five sandboxes, of one seed."""
    return [measured(sandbox) for sandbox in SANDBOXES]
