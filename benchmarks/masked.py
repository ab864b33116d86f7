"""Rounds of secure aggregation in one process, by what server and hospitals run in a federation.

Each hospital has the kit that it would be provisioned with, and answers by the product's executor;
the server's side asks, judges, adds up and unmasks as it does in a job. Messages pass through
NVFlare's serialisation, and over no connection.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nvflare.apis.fl_constant import FLContextKey, ReservedKey
from nvflare.apis.fl_context import FLContext
from nvflare.apis.shareable import Shareable
from nvflare.apis.signal import Signal
from nvflare.apis.workspace import Workspace
from nvflare.app_common.decomposers import common_decomposers

from fed_assets.federation.carriage import Carriage
from fed_assets.federation.masked_rounds import MaskedRound
from fed_assets.federation.phases import Phase, training
from fed_assets.federation.plan import FederationPlan
from fed_assets.federation.provision import provision
from fed_assets.federation.standing import Standing
from fed_assets.hospital.executor import HospitalExecutor
from fed_assets.privacy.masking import Turn

if TYPE_CHECKING:
    from fed_assets.federation.aggregation import Update
    from fed_assets.federation.weights import Weights
    from fed_assets.hospital.files import Store
    from fed_assets.sandboxes.protection import Protection

RUN = "one_process"
# Hospitals take turns here; an executor waits a quarter of it for a core that others use.
LIMIT_SECONDS = 2.0


@dataclass(frozen=True)
class Masked:
    """The two sides of a federation whose updates are masked."""

    plan: FederationPlan
    sites: Mapping[str, tuple[HospitalExecutor, FLContext]]

    def run(
        self, weights: Weights, file: Path, said: Mapping[str, Any]
    ) -> tuple[list[Update], Weights]:
        """Returns the masked updates of one round, and their mean.

        Args:
            weights: What hospitals begin with.
            file: A safetensors file of the like.
            said: What hospitals are told of the round.

        Raises:
            SystemExit: A hospital did not answer as it should.
        """
        carriage = Carriage(
            large=False, folder=file.parent, most=0, seconds=LIMIT_SECONDS, cell=None, job_id=RUN
        )
        told = {**said, "limit_seconds": LIMIT_SECONDS}
        one = MaskedRound(
            plan=self.plan,
            turn=Turn(RUN, said["round_number"]),
            weights=weights,
            ask=self._ask,
            training=partial(training, carriage, weights, file, told, {}),
            stopped=lambda: False,
        )
        standing, mean = one.run({})
        if missing := standing.missing():
            raise SystemExit(f"Round {said['round_number']} has hospitals missing: {missing}")
        return standing.updates, mean

    def _ask(self, phase: Phase, silent: Mapping[str, int]) -> Standing:
        answers = {}
        with phase.sent() as message:
            for name in phase.hospitals:
                executor, context = self.sites[name]
                task = Shareable.from_bytes(message(name).to_bytes())
                reply = executor.execute(phase.task, task, context, Signal())
                answers[name] = phase.read(name, Shareable.from_bytes(reply.to_bytes()))
        return Standing(
            round_number=phase.round_number,
            hospitals=phase.hospitals,
            quorum=phase.quorum,
            limit_seconds=phase.limit_seconds,
            asked=[*phase.hospitals],
            answers=answers,
        )


def open_masked(
    stores: Mapping[str, Store], protection: Protection, folder: Path, said: Mapping[str, Any]
) -> Masked:
    """Returns the two sides, after provisioning them in a new folder under this one.

    Args:
        stores: The hospitals' stores.
        protection: What they promise of their updates.
        folder: For their kits.
        said: What hospitals are told of a round.
    """
    common_decomposers.register()
    shown = {name: said[name] for name in ("rounds", "seed", "recipe", "network")}
    plan = FederationPlan(
        sandbox=RUN,
        transport="mtls",
        job_code="preinstalled",
        hospitals=tuple(stores),
        stores={name: str(store.folder) for name, store in stores.items()},
        folder=str(folder / "federation"),
        outbox=str(folder / "outbox"),
        initial_weights=str(folder / "weights.safetensors"),
        classes=said["classes"],
        channels=said["channels"],
        quorum=len(stores),
        update_protection=protection.as_record(),
        round_timeout_seconds=LIMIT_SECONDS,
        **shown,
    )
    kits = provision(plan)
    return Masked(
        plan,
        {name: (HospitalExecutor(), _context(name, kits.hospitals[name])) for name in stores},
    )


def _context(hospital: str, site: Path) -> FLContext:
    context = FLContext()
    context.set_prop(ReservedKey.IDENTITY_NAME, hospital)
    context.set_prop(ReservedKey.RUN_NUM, RUN)
    context.set_prop(FLContextKey.WORKSPACE_OBJECT, Workspace(str(site)))
    return context
