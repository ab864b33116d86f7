"""The server's part of a run, in NVFlare's job process: one round after another."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from nvflare.apis.controller_spec import Task
from nvflare.apis.impl.controller import Controller
from nvflare.app_common.abstract.fl_model import FLModel
from nvflare.app_common.utils.fl_model_utils import FLModelUtils

from fed_assets.errors import FedAssetsError, JobFailed, QuorumNotMet
from fed_assets.federation.aggregation import Update, fedavg
from fed_assets.federation.answers import read_answer
from fed_assets.federation.job import TASK
from fed_assets.federation.outbox import publish_failure, publish_round
from fed_assets.federation.plan import FederationPlan
from fed_assets.federation.weights import Weights, payload_bytes, read_weights
from fed_assets.privacy.digests import weights_digest


class RoundController(Controller):  # type: ignore[misc]
    """Sends the global weights out, aggregates what comes back and publishes each round.

    Args:
        plan: Path of the plan's JSON file.
    """

    def __init__(self, plan: str) -> None:
        super().__init__(task_check_period=0.02)
        self._plan = FederationPlan.read(Path(plan))

    def set_communicator(self, communicator: Any) -> None:
        """Joins controller and communicator.

        NVFlare 2.9 sets `task_check_period` here while the communicator reads
        `_task_check_period`, which would stay at 0.2 s.
        """
        super().set_communicator(communicator)
        communicator._task_check_period = self._task_check_period

    def start_controller(self, fl_ctx: Any) -> None:
        """Does nothing: the plan is all that the controller needs."""

    def stop_controller(self, fl_ctx: Any) -> None:
        """Does nothing: every round is published when it is done."""

    def process_result_of_unknown_task(
        self, client: Any, task_name: str, client_task_id: str, result: Any, fl_ctx: Any
    ) -> None:
        """Drops an update that came after its round was closed."""
        self.log_warning(fl_ctx, f"{client.name} answered after its round was closed")

    def control_flow(self, abort_signal: Any, fl_ctx: Any) -> None:
        """Runs the plan's rounds, or publishes why they could not be run to the end."""
        outbox = Path(self._plan.outbox)
        try:
            self._run_rounds(outbox, abort_signal, fl_ctx)
        except FedAssetsError as error:
            self._fail(outbox, error, fl_ctx)
        except Exception as error:
            self.log_exception(fl_ctx, "the rounds broke off")
            what = f"The server's job broke off with {type(error).__name__}"
            self._fail(outbox, JobFailed(what, where=self._plan.folder), fl_ctx)

    def _fail(self, outbox: Path, error: FedAssetsError, fl_ctx: Any) -> None:
        publish_failure(outbox, error)
        self.system_panic(str(error), fl_ctx)

    def _run_rounds(self, outbox: Path, abort_signal: Any, fl_ctx: Any) -> None:
        weights = read_weights(Path(self._plan.initial_weights))
        for round_number in range(self._plan.start_round, self._plan.rounds + 1):
            started = time.monotonic()
            updates, missing = self._ask(round_number, weights, abort_signal, fl_ctx)
            if abort_signal.triggered:
                return
            if len(updates) < self._plan.quorum:
                raise QuorumNotMet(
                    f"Round {round_number} has {len(updates)} usable updates of "
                    f"{len(self._plan.hospitals)} hospitals, and the quorum is "
                    f"{self._plan.quorum}",
                    where=self._plan.folder,
                    seen="; ".join(f"{name}: {reason}" for name, reason in missing.items()),
                )
            weights = fedavg(updates)
            record = {
                "round_number": round_number,
                "participants": {update.hospital: update.report for update in updates},
                "missing": missing,
                "global_digest": weights_digest(weights),
                "seconds": round(time.monotonic() - started, 3),
            }
            publish_round(outbox, record, weights)

    def _ask(
        self, round_number: int, weights: Weights, abort_signal: Any, fl_ctx: Any
    ) -> tuple[list[Update], dict[str, str]]:
        """Returns the usable updates of a round, and why each other hospital has none."""
        said = self._instructions(round_number)
        bytes_down = payload_bytes(weights, said)
        answers: dict[str, Update | str] = {}

        def take(client_task: Any, fl_ctx: Any) -> None:
            hospital = client_task.client.name
            answers[hospital] = read_answer(
                hospital, client_task.result, like=weights, bytes_down=bytes_down
            )
            client_task.result = None  # NVFlare would keep it, weights and all, until the next one

        connected = {client.name for client in self._engine.get_clients()}
        targets = [name for name in self._plan.hospitals if name in connected]
        if targets:
            model = FLModel(params=dict(weights), current_round=round_number, meta=said)
            task = Task(
                name=TASK,
                data=FLModelUtils.to_shareable(model),
                timeout=math.ceil(self._plan.round_timeout_seconds),
                result_received_cb=take,
            )
            self.broadcast_and_wait(
                task, fl_ctx, targets=targets, min_responses=0, abort_signal=abort_signal
            )
        closed = dict(answers)  # a late answer must not change the round under our hands
        updates = [answer for _, answer in sorted(closed.items()) if isinstance(answer, Update)]
        missing: dict[str, str] = {}
        for name in sorted(self._plan.hospitals):
            answer = closed.get(name, self._silence(name in connected))
            if isinstance(answer, str):
                missing[name] = answer
        return updates, missing

    def _silence(self, connected: bool) -> str:
        if not connected:
            return "it is not connected"
        return f"it did not answer within {self._plan.round_timeout_seconds:g} s"

    def _instructions(self, round_number: int) -> Mapping[str, Any]:
        return {
            "round_number": round_number,
            "rounds": self._plan.rounds,
            "seed": self._plan.seed,
            "recipe": dict(self._plan.recipe),
            "network": dict(self._plan.network),
            "classes": self._plan.classes,
            "channels": self._plan.channels,
        }
