"""The server's part of a run, in NVFlare's job process: one round after another."""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from nvflare.apis.controller_spec import Task
from nvflare.apis.impl.controller import Controller

from fed_assets.errors import FedAssetsError, JobFailed, QuorumNotMet, StorageError
from fed_assets.federation.aggregation import Update
from fed_assets.federation.answers import clipped_share
from fed_assets.federation.carriage import Carriage
from fed_assets.federation.hidden_rounds import hidden_round
from fed_assets.federation.lost import read_lost
from fed_assets.federation.outbox import (
    WEIGHTS_FILE,
    publish_failure,
    publish_round,
    round_folder,
)
from fed_assets.federation.phases import Phase, training
from fed_assets.federation.plan import FederationPlan
from fed_assets.federation.resume import optimizer_before
from fed_assets.federation.rules import aggregate
from fed_assets.federation.standing import GIVEN_UP, Standing
from fed_assets.federation.weights import read_weights
from fed_assets.privacy.digests import weights_digest
from fed_assets.sandboxes.protection import Protection, Rule

log = logging.getLogger(__name__)

# How often a round looks whether a hospital was lost, or its time is over.
LOOK_SECONDS = 0.02


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
        file = Path(self._plan.initial_weights)
        weights = read_weights(file)
        carriage = Carriage.of(self._plan, fl_ctx)
        silent: Mapping[str, int] = {}
        rule = Rule.of(self._plan.aggregation)
        # Of hidden updates it sees no norm.
        bounds = (
            {} if self._plan.hides_updates else Protection.of(self._plan.update_protection).bounds
        )
        state = optimizer_before(self._plan, rule)
        for round_number in range(self._plan.start_round, self._plan.rounds + 1):
            started = time.monotonic()
            ask = partial(self._ask, abort_signal=abort_signal, fl_ctx=fl_ctx)
            said = self._instructions(round_number)
            train = partial(training, carriage, weights, file, said, bounds)
            with carriage.parking():
                if self._plan.hides_updates:
                    hidden = hidden_round(
                        self._plan,
                        fl_ctx,
                        round_number=round_number,
                        weights=weights,
                        ask=ask,
                        training=train,
                        stopped=lambda: bool(abort_signal.triggered),
                    )
                    round_, mean = hidden.run(silent)
                else:
                    phase = train(hospitals=self._plan.hospitals, quorum=self._plan.quorum)
                    round_, mean = ask(phase, silent), None
                if abort_signal.triggered:
                    return
                if len(round_.updates) < round_.quorum:
                    raise self._quorum_not_met(round_)
                weights, state = aggregate(rule, round_.updates, weights, state, mean=mean)
            silent = round_.now_silent()
            record = {
                "round_number": round_number,
                "participants": {update.hospital: update.report for update in round_.updates},
                "missing": round_.missing(),
                "global_digest": weights_digest(weights),
                "seconds": round(time.monotonic() - started, 3),
                **clipped_share(round_.updates),
            }
            log.info("Round %s: %s", round_number, _in_words(record))
            del round_  # the next round must not hold this one's updates beside its own
            publish_round(outbox, record, weights, state)
            file = round_folder(outbox, round_number) / WEIGHTS_FILE

    def _ask(
        self,
        phase: Phase,
        silent: Mapping[str, int],
        abort_signal: Any,
        fl_ctx: Any,
    ) -> Standing:
        """Returns how a phase stands when it waits for no hospital any more."""
        answers: dict[str, Update | str] = {}
        unwritten: list[StorageError] = []
        taken: set[str] = set()
        judging: set[str] = set()
        answered = threading.Event()

        def give(client_task: Any, fl_ctx: Any) -> None:
            taken.add(client_task.client.name)

        def take(client_task: Any, fl_ctx: Any) -> None:
            # A thread of our own: NVFlare waits with all other hospitals until this returns, and
            # one that is frozen while it sends its weights must not hold them up.
            arguments = (client_task.client.name, client_task.result)
            judging.add(client_task.client.name)
            threading.Thread(target=judge, args=arguments, daemon=True).start()
            client_task.result = None  # NVFlare would keep it, weights and all, until the next one

        def judge(hospital: str, reply: Any) -> None:
            try:
                answers[hospital] = phase.read(hospital, reply)
            except StorageError as error:
                unwritten.append(error)
            finally:
                judging.discard(hospital)
                answered.set()

        connected = {client.name for client in self._engine.get_clients()}
        standing = Standing(
            round_number=phase.round_number,
            hospitals=phase.hospitals,
            quorum=phase.quorum,
            limit_seconds=phase.limit_seconds,
            asked=[name for name in phase.hospitals if name in connected],
            silent=silent,
            lost=read_lost(Path(self._plan.folder)),
        )
        if not standing.awaited():
            return standing
        began = time.monotonic()
        names = list(standing.asked)
        with phase.sent() as message:
            tasks = []
            for targets in [[name] for name in names] if phase.to_each else [names]:
                task = Task(
                    name=phase.task,
                    data=message(targets[0]),
                    # The phase keeps its own limit, and says so; NVFlare's is for what it holds.
                    timeout=math.ceil(phase.limit_seconds) + 1,
                    after_task_sent_cb=give,
                    result_received_cb=take,
                )
                tasks.append(task)
                if phase.to_each:  # and without a copy of the weights for each
                    self.send(task, fl_ctx, targets=targets)
                else:
                    self.broadcast(task, fl_ctx, targets=targets, min_responses=0)
            while standing.awaited() and not abort_signal.triggered and not unwritten:
                answered.wait(LOOK_SECONDS)
                answered.clear()
                # NVFlare closes the task when all have replied, which may not be judged yet. Read
                # in this order: who replied before it was closed is being judged, or has an answer.
                closed = [task.completion_status for task in tasks]
                if judging or None in closed:
                    closed = [None]
                # Copies: a late answer must not change the round under our hands.
                standing = replace(
                    standing,
                    taken=frozenset(taken),
                    answers=dict(answers),
                    lost=read_lost(Path(self._plan.folder)),
                    closed_by="" if closed[0] is None else str(closed[0].value),
                    over=time.monotonic() > began + phase.limit_seconds,
                    silent=silent if time.monotonic() > began + phase.patience_seconds else {},
                )
            for task in tasks:
                self.cancel_task(task, fl_ctx=fl_ctx)
        for error in unwritten:
            raise error
        return standing

    def _quorum_not_met(self, standing: Standing) -> QuorumNotMet:
        reasons = standing.missing()
        missing = {name: reason for name, reason in reasons.items() if reason != GIVEN_UP}
        consoles = [loss.console for name, loss in standing.lost.items() if name in missing]
        return QuorumNotMet(
            f"Round {standing.round_number} has {len(standing.updates)} usable updates of "
            f"{len(self._plan.hospitals)} hospitals, and the quorum is {standing.quorum}",
            where=", ".join(consoles) or self._plan.folder,
            seen="; ".join(f"{name}: {reason}" for name, reason in missing.items()),
        )

    def _instructions(self, round_number: int) -> Mapping[str, Any]:
        return {
            "round_number": round_number,
            "rounds": self._plan.rounds,
            "seed": self._plan.seed,
            "recipe": dict(self._plan.recipe),
            "network": dict(self._plan.network),
            "classes": self._plan.classes,
            "channels": self._plan.channels,
            "limit_seconds": self._plan.round_timeout_seconds,
        }


def _in_words(record: Mapping[str, Any]) -> str:
    missing = [f"; without {name}: {reason}" for name, reason in record["missing"].items()]
    return f"{len(record['participants'])} updates in {record['seconds']} s{''.join(missing)}"
