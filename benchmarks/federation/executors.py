"""The step as NVFlare's clients run it: in our federation, and in NVFlare's own simulator."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

from nvflare.apis.executor import Executor
from nvflare.apis.fl_constant import FLMetaKey
from nvflare.apis.fl_context import FLContext
from nvflare.apis.shareable import Shareable
from nvflare.apis.signal import Signal
from nvflare.app_common.abstract.fl_model import FLModel
from nvflare.app_common.utils.fl_model_utils import FLModelUtils

from benchmarks.federation.step import take_step
from benchmarks.federation.work import Work
from fed_assets.hospital.executor import read_identity
from fed_assets.hospital.places import place_to_learn
from fed_assets.privacy.digests import weights_digest


class StepExecutor(Executor):
    """Takes the step in our federation: the site says which hospital it is, the task what to do."""

    def execute(
        self, task_name: str, shareable: Shareable, fl_ctx: FLContext, abort_signal: Signal
    ) -> Shareable:
        """Answers a task with the hospital's weights after the step."""
        task = FLModelUtils.from_shareable(shareable)
        hospital, store = self.identity(fl_ctx)
        with self.turn(task, abort_signal):
            step = take_step(hospital, store, task.params, self.instructions(task))
        answer = FLModel(
            params=step.weights,
            metrics=step.metrics,
            meta={
                "examples": step.examples,
                FLMetaKey.NUM_STEPS_CURRENT_ROUND: step.examples,
                "seconds": step.seconds,
                "update_digest": weights_digest(step.weights),
                "dataset_digest": step.dataset_digest,
            },
        )
        return FLModelUtils.to_shareable(answer)

    def turn(self, task: FLModel, abort_signal: Signal) -> AbstractContextManager[None]:
        """Returns what to wait for before the step, as `HospitalExecutor` does."""
        return place_to_learn(task.meta["limit_seconds"], lambda: bool(abort_signal.triggered))

    def identity(self, fl_ctx: FLContext) -> tuple[str, Path]:
        """Returns the hospital's id and store."""
        site = read_identity(fl_ctx)
        return site.hospital, site.store.folder

    def instructions(self, task: FLModel) -> dict[str, Any]:
        """Returns what to do in this round."""
        return dict(task.meta)


class SimulatedExecutor(StepExecutor):
    """Takes the step in NVFlare's simulator, where a site has no configuration of its own.

    Args:
        work: Path of the work's JSON file.
    """

    def __init__(self, work: str) -> None:
        super().__init__()
        self._work = Work.read(work)

    def turn(self, task: FLModel, abort_signal: Signal) -> AbstractContextManager[None]:
        """Returns nothing to wait for: NVFlare's simulator runs all at once."""
        return nullcontext()

    def identity(self, fl_ctx: FLContext) -> tuple[str, Path]:
        """Returns the site's name, which is the hospital's id, and its store."""
        hospital = fl_ctx.get_identity_name()
        return hospital, Path(self._work.stores[hospital])

    def instructions(self, task: FLModel) -> dict[str, Any]:
        """Returns what to do in this round."""
        return self._work.instructions(task.current_round)
