"""A home with a real MLflow, in which versions of made-up weights are registered at once."""

from __future__ import annotations

import hashlib
import shutil
import sqlite3
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save_file

from fed_assets.assets.packaging import facts_of, origin_of
from fed_assets.registry.gate import GATES, Gate
from fed_assets.registry.version import ModelVersion
from fed_assets.resources.home import Home
from fed_assets.resources.model_registry import ModelRegistry
from fed_assets.resources.quiet_mlflow import DATABASE
from fed_assets.resources.tracking import TrackedFederation, Tracking
from fed_assets.serving.keys import signing_key
from fed_assets.serving.package import ONNX, PACKAGE, WEIGHTS, sign_package
from fed_assets_tests.lineages import lineage, put_lineage, round_of
from fed_assets_tests.registry.versions import a_version, figures

OPEN = Gate("overall", True, 0.0, -0.01, "AUROC is equal")
ABSENT = Gate("quorum", False, 9, 10, "west was left out", waivable=True)


def with_the_rest(*gates: Gate) -> list[Gate]:
    """Returns gates beside all others, which are open."""
    named = {gate.name: gate for gate in gates}
    return [named.get(name) or Gate(name, True, None, None, "fine") for name in GATES]


@dataclass(frozen=True)
class Bench:
    """A home with MLflow's tables, in which versions can be registered of made-up weights."""

    home: Home

    @property
    def registry(self) -> ModelRegistry:
        return ModelRegistry(self.home)

    def logged(self, run: str, seed: int) -> tuple[str, Path]:
        """Returns the MLflow run of a federation, after logging it, and its weights."""
        weights = self.home.root / "weights" / f"{run}.safetensors"
        weights.parent.mkdir(exist_ok=True)
        drawn = np.random.default_rng(seed).normal(size=(4, 4)).astype(np.float32)
        save_file({"layer.weight": drawn}, weights)
        federation = TrackedFederation(
            run_id=run,
            sandbox="minimal",
            parameters={"seed": seed},
            rounds=[{"round_number": 1, "participants": {}}],
            test=figures(0.9),
            hospitals={},
            weights=weights,
            network={"network": {"_target_": "torch.nn.Linear"}, "channels": 1, "classes": 2},
            image_size=28,
        )
        return Tracking(folder=str(self.home.tracking)).log_federation(federation), weights

    def register(self, seed: int, **changes: Any) -> int:
        run = f"{seed:08d}-2222-3333-4444-555555555555"
        tracked, weights = self.logged(run, seed)
        record = self.record(run, tracked, weights, **changes)
        return self.registry.register(record, tracked, weights=weights)

    def record(self, run: str, tracked: str, weights: Path, **changes: Any) -> ModelVersion:
        digest = hashlib.sha256(weights.read_bytes()).hexdigest()
        known = {"run_id": run, "mlflow_run": tracked, "weights_digest": digest}
        version = a_version(0, **known | changes)
        took_part = version.participants
        rounds = [round_of(number, took_part) for number in (1, 2)]
        left = lineage(run, version.sandbox, hospitals=took_part, rounds=rounds)
        put_lineage(self.home, left)
        return version

    def ready(self, seed: int, *gates: Gate) -> int:
        """Registers a version that is packaged, and judged beside the present champion."""
        version = self.register(seed)
        self.package(version)
        self.judge(version, *gates)
        return version

    def package(self, version: int) -> None:
        """Signs a package of its weights, and of what is no ONNX file: nothing is served here."""
        record, folder = self.registry.version("minimal", version), self.packaged(version)
        facts = facts_of(record, origin_of(self.registry, record))
        folder.mkdir()
        shutil.copy(self.registry.weights("minimal", version), folder / WEIGHTS)
        (folder / ONNX).write_bytes(b"no onnx is loaded here")
        key = signing_key(self.home.models_key, models=self.home.all_models)
        sign_package(folder, facts, key)

    def packaged(self, version: int) -> Path:
        return self.registry.folder("minimal", version) / PACKAGE

    def judge(self, version: int, *gates: Gate) -> None:
        against = self.registry.champion("minimal")
        self.registry.keep_judgement(
            "minimal", version, with_the_rest(*gates), against=against, by="run 1"
        )

    def promoted(self, seed: int) -> int:
        version = self.ready(seed)
        self.registry.promote("minimal", version, "ann", "it is better")
        return version

    def told(self) -> list[tuple[str, int, int | None, int | None]]:
        return [
            (event.event, event.version, event.before, event.champion)
            for event in self.registry.history("minimal").events
        ]


def a_bench(tables: Path, folder: Path) -> Bench:
    """Returns a home whose MLflow has its tables already, and no version of `minimal`."""
    home = Home(folder).prepare()
    shutil.copy(tables / DATABASE, home.tracking / DATABASE)
    with sqlite3.connect(home.tracking / DATABASE) as database:
        artifacts = (home.tracking / "artifacts").as_uri()
        database.execute("UPDATE experiments SET artifact_location = ?", (artifacts,))
    database.close()
    return Bench(home)
