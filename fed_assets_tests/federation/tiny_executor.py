"""A hospital's part of a round without torch or images, for the federation's own tests."""

from __future__ import annotations

import hashlib
import json
import os
import time
from pathlib import Path
from typing import Any

import numpy as np
from nvflare.apis.executor import Executor
from nvflare.apis.fl_constant import FLContextKey, ReturnCode
from nvflare.apis.shareable import Shareable, make_reply
from nvflare.app_common.abstract.fl_model import FLModel
from nvflare.app_common.utils.fl_model_utils import FLModelUtils
from nvflare.fuel.utils import fobs

from fed_assets.errors import NotValidated
from fed_assets.federation.sizes import MESSAGE_BYTES
from fed_assets.privacy.digests import weights_digest

# Files in a hospital's store: one that it waits for, and one that says that it has learned.
GO, LEARNED = "go", "learned"


class Unreadable:
    """What a hospital can write into a message, and nobody can read there."""


class UnreadableDecomposer(fobs.Decomposer):
    def supported_type(self) -> type[Unreadable]:
        return Unreadable

    def decompose(self, target: Unreadable, manager: Any = None) -> bytes:
        return b"unreadable"

    def recompose(self, data: bytes, manager: Any = None) -> Unreadable:
        raise ValueError("it cannot be read")


class TinyExecutor(Executor):
    """Adds seeded noise to the global weights.

    A file `behaviour.json` in the hospital's store, `{"<round number>": "<behaviour>"}`, makes it
    misbehave in that round.
    """

    def execute(
        self, task_name: str, shareable: Shareable, fl_ctx: Any, abort_signal: Any
    ) -> Shareable:
        workspace = Path(fl_ctx.get_prop(FLContextKey.WORKSPACE_OBJECT).get_root_dir())
        identity = json.loads((workspace / "local" / "hospital.json").read_text())
        model = FLModelUtils.from_shareable(shareable)
        round_number = model.meta["round_number"]
        behaviour = _behaviour(Path(identity["store"]), round_number)
        if behaviour == "fail":
            error = NotValidated("The images were never validated")
            return make_reply(
                ReturnCode.EXECUTION_EXCEPTION, headers={"fed_assets_error": error.as_record()}
            )
        if behaviour == "raise":
            raise ValueError("a bug in the executor")
        if behaviour == "die":
            os._exit(3)
        if behaviour == "hang":
            while not abort_signal.triggered:
                time.sleep(0.05)
        if behaviour == "late":
            time.sleep(8)
        if behaviour == "wait":
            while not (Path(identity["store"]) / GO).exists() and not abort_signal.triggered:
                time.sleep(0.05)
        if behaviour == "slow":
            time.sleep(3)
        if behaviour == "steady":
            time.sleep(0.7)
        if behaviour == "none":
            return None
        if behaviour == "nothing":
            return Shareable()
        if behaviour == "empty":
            return FLModelUtils.to_shareable(FLModel(params={}))
        weights = learn(model.params, identity["hospital"], round_number, model.meta["seed"])
        if behaviour == "far":
            weights["canary_layer.weight"] *= np.float32(1e4)
        claimed = weights_digest(weights)
        if behaviour == "nan":
            weights["canary_layer.weight"][0, 0] = np.nan
        if behaviour == "shape":
            weights = {name: array[..., :1] for name, array in weights.items()}
        if behaviour == "names":
            weights = {f"other.{name}": array for name, array in weights.items()}
        if behaviour == "twice":
            weights = {name: np.concatenate([array, array]) for name, array in weights.items()}
        if behaviour == "forged":
            weights["canary_layer.weight"][0, 0] += 1
        answer = FLModel(
            params=weights,
            metrics={"loss": 1.0 / round_number, "auroc": 0.5, "accuracy": 0.25},
            meta={
                "examples": len(identity["hospital"]),
                "seconds": 0.001,
                "update_digest": claimed,
                "dataset_digest": hashlib.sha256(identity["hospital"].encode()).hexdigest(),
            },
        )
        if behaviour == "flood":
            answer.meta["more"] = bytes(MESSAGE_BYTES)
        if behaviour == "garbled":
            fobs.register(UnreadableDecomposer)
            answer.meta["more"] = Unreadable()
        (Path(identity["store"]) / LEARNED).touch()
        return FLModelUtils.to_shareable(answer)


def _behaviour(store: Path, round_number: int) -> str:
    try:
        return json.loads((store / "behaviour.json").read_text()).get(str(round_number), "")
    except FileNotFoundError:
        return ""


def learn(
    weights: dict[str, np.ndarray], hospital: str, round_number: int, seed: int
) -> dict[str, np.ndarray]:
    entropy = [seed, round_number, *hospital.encode()]
    noise = np.random.default_rng(entropy)
    return {
        # However many there are, within the norms that an update can be hidden by.
        name: (array + noise.normal(0, min(1.0, 500 / array.size**0.5), array.shape)).astype(
            array.dtype
        )
        for name, array in sorted(weights.items())
    }
