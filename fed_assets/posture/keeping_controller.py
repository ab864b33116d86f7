"""A server that keeps whatever reaches it, and tells hospitals to train as suits who attacks them.

<outbox>/../kept/<round>-<task>-<hospital>.reply          each message of a hospital, as it came
<outbox>/../kept/<round>-<task>-<hospital>.safetensors    the arrays in it, where it holds some
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from nvflare.apis.fl_constant import ReturnCode
from nvflare.app_common.utils.fl_model_utils import FLModelUtils

from fed_assets.federation.aggregation import Update
from fed_assets.federation.controller import RoundController
from fed_assets.federation.job import TASK
from fed_assets.federation.phases import Phase
from fed_assets.federation.standing import Standing
from fed_assets.federation.weights import write_weights
from fed_assets.posture.update_runs import KEPT


class KeepingController(RoundController):
    """Runs a plan's rounds, and tells hospitals in each what the plan's `recipe` has for it.

    There it stands by the round's number. A hospital that is told that no more rounds are to come
    spends all of its privacy budget.
    """

    def _instructions(self, round_number: int) -> Mapping[str, Any]:
        said = super()._instructions(round_number)
        return {**said, **said["recipe"][str(round_number)]}

    def _ask(
        self, phase: Phase, silent: Mapping[str, int], abort_signal: Any, fl_ctx: Any
    ) -> Standing:
        folder = Path(self._plan.outbox).with_name(KEPT)
        folder.mkdir(mode=0o700, exist_ok=True)

        def read(hospital: str, reply: Any) -> Update | str:
            keep(folder / f"{phase.round_number}-{phase.task}-{hospital}", phase.task, reply)
            return phase.read(hospital, reply)

        keeping = replace(phase, read=read)
        return super()._ask(keeping, silent, abort_signal=abort_signal, fl_ctx=fl_ctx)


def keep(path: Path, task: str, reply: Any) -> None:
    """Writes a reply, and beside it the arrays in it."""
    path.with_suffix(".reply").write_bytes(reply.to_bytes())
    if task != TASK or reply.get_return_code() != ReturnCode.OK:
        return
    sent = FLModelUtils.from_shareable(reply).params or {}
    arrays = {name: each for name, each in sent.items() if isinstance(each, np.ndarray)}
    if arrays:
        write_weights(path.with_suffix(".safetensors"), arrays)
