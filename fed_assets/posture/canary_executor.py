"""A hospital that learns nothing, and whose updates are known beforehand: what is looked for.

It holds no images. Whoever looks on says when it may answer a round, and is ready by then.
"""

from __future__ import annotations

import hashlib
import json
import time
from pathlib import Path
from typing import Any

from nvflare.apis.executor import Executor
from nvflare.apis.fl_constant import FLContextKey
from nvflare.apis.shareable import Shareable
from nvflare.app_common.abstract.fl_model import FLModel, ParamsType
from nvflare.app_common.utils.fl_model_utils import FLModelUtils

from fed_assets.posture.canaries import AUROC, METRIC, canary, sign_of
from fed_assets.privacy.digests import weights_digest

LOOK_SECONDS = 0.02


class CanaryExecutor(Executor):  # type: ignore[misc]
    """Answers each round with that round's canary, as soon as it may."""

    def execute(
        self, task_name: str, shareable: Shareable, fl_ctx: Any, abort_signal: Any
    ) -> Shareable:
        """Waits for the round's sign in the hospital's store, and returns its canary."""
        workspace = Path(fl_ctx.get_prop(FLContextKey.WORKSPACE_OBJECT).get_root_dir())
        site = json.loads((workspace / "local" / "hospital.json").read_text())
        said = FLModelUtils.from_shareable(shareable).meta
        round_number = int(said["round_number"])
        sign = sign_of(Path(site["store"]), round_number)
        while not sign.exists() and not abort_signal.triggered:
            time.sleep(LOOK_SECONDS)
        weights = canary(int(said["seed"]), round_number)
        update = FLModel(
            params_type=ParamsType.FULL,
            params=weights,
            metrics={"loss": 1.0, "auroc": AUROC, METRIC: 0.5},
            meta={
                "examples": 1,
                "seconds": 0.0,
                "update_digest": weights_digest(weights),
                "dataset_digest": hashlib.sha256(site["hospital"].encode()).hexdigest(),
            },
        )
        return FLModelUtils.to_shareable(update)
