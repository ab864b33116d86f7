"""One NVFlare job per run: every hospital's local rounds, and the global model."""

# No `from __future__ import annotations` here: Dagster reads the annotations of asset functions.

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from dagster import (
    AssetExecutionContext,
    AssetIn,
    AssetKey,
    AssetOut,
    AssetsDefinition,
    Config,
    DagsterExecutionInterruptedError,
    MaterializeResult,
    Nothing,
    multi_asset,
)
from pydantic import Field

from fed_assets.assets.budgets import require_budgets
from fed_assets.assets.failures import clear_failures
from fed_assets.assets.partitions import SANDBOX_PARTITIONS, chosen_sandbox
from fed_assets.assets.resuming import take_up
from fed_assets.assets.rounds import (
    GLOBAL_MODEL,
    GLOBAL_MODEL_STORY,
    global_model,
    local_rounds,
    local_rounds_key,
    observe_failure,
    observe_round,
)
from fed_assets.assets.trained_on import require_allowed_images, withdrawal_said_first
from fed_assets.errors import FedAssetsError, QuorumNotMet
from fed_assets.federation.admission import Admission, admission_from_record
from fed_assets.federation.averaging import rule_of
from fed_assets.federation.history import HISTORY_FILE, read_history
from fed_assets.federation.origin import Origin
from fed_assets.federation.plan import FederationPlan
from fed_assets.federation.results import FederationResult
from fed_assets.federation.resume import finished_before
from fed_assets.federation.roster import Roster
from fed_assets.federation.withdrawals import require_none_withdrawn
from fed_assets.resources.federation import LocalFederation
from fed_assets.resources.home import Home
from fed_assets.resources.hospital_runner import COORDINATOR, LocalHospitalRunner
from fed_assets.resources.sandboxes import Sandboxes
from fed_assets.sandboxes.sandbox import Sandbox

KEPT_RUNS = 5
LOCAL_ROUNDS = """What this hospital sent to the federation: one row per round.

In each round the hospital trains the global model on its own images, and sends back its weights
(`bytes_up`; `update` is the first part of their digest) with these figures, and no image. `loss` is
of that training, and not released where privacy has a budget. `auroc` and `accuracy` are of the
global model as it came in, on its own validation images; `examples`: images it trained on."""


class TrainingConfig(Config):
    """What this run changes of the roster's recipe; left empty, the roster's own values hold."""

    rounds: int | None = Field(default=None, ge=1, description="Rounds of the federation.")
    local_epochs: int | None = Field(default=None, ge=1, description="Epochs per round.")
    learning_rate: float | None = Field(default=None, gt=0, description="Learning rate.")
    seed: int | None = Field(default=None, ge=0, description="Seed; the roster's first, if empty.")


def build_training_assets(roster: Roster, home: Home) -> AssetsDefinition:
    """Returns the non-subsettable assets `<hospital>/local_rounds` and `global_model`."""
    names = roster.hospital_ids
    validated = {name: AssetKey([name, "validated_images"]) for name in names}

    @multi_asset(
        name="federated_training",
        partitions_def=SANDBOX_PARTITIONS,
        pool="gpu",
        ins={
            "federation_roster": AssetIn(),
            **{
                f"{name}_validated": AssetIn(key, dagster_type=Nothing)
                for name, key in validated.items()
            },
        },
        outs={
            **{
                f"{hospital.id}_local_rounds": AssetOut(
                    key=local_rounds_key(hospital.id),
                    is_required=False,
                    dagster_type=Any,
                    group_name=hospital.id,
                    kinds={"nvflare", "pytorch"},
                    owners=[hospital.owner] if hospital.owner else None,
                    tags={"hospital": hospital.id},
                    description=LOCAL_ROUNDS,
                )
                for hospital in roster.hospitals
            },
            "global_model": AssetOut(
                key=GLOBAL_MODEL,
                dagster_type=Any,
                group_name="federation",
                kinds={"nvflare", "safetensors"},
                description=GLOBAL_MODEL_STORY,
            ),
        },
        internal_asset_deps={
            **{
                f"{name}_local_rounds": {AssetKey("federation_roster"), validated[name]}
                for name in names
            },
            "global_model": {local_rounds_key(name) for name in names},
        },
    )
    def federated_training(
        context: AssetExecutionContext,
        config: TrainingConfig,
        sandboxes: Sandboxes,
        hospitals: LocalHospitalRunner,
        federation: LocalFederation,
        federation_roster: dict[str, Any],
    ) -> Iterator[MaterializeResult[Any]]:
        """Trains one model with every hospital that takes part, each on its own images.

        Where it executes a failed run again, or comes after one as the job `retrain` or by itself,
        it goes on from the last round of that run.
        """
        with clear_failures():
            sandbox = chosen_sandbox(context, sandboxes)
            admission = admission_from_record(federation_roster)
            folder = home.federation(sandbox.name, context.run.run_id)
            plan = plan_training(roster, sandbox, admission, config, folder, hospitals)
            require_none_withdrawn(home.withdrawals, plan.hospitals, what="Nothing is trained")
            asked = {"channels": plan.channels, "classes": plan.classes, "seed": plan.seed}
            first = hospitals.ask(
                sandbox,
                COORDINATOR,
                "initial_weights",
                {
                    "network": plan.network,
                    "entry": roster.learning(sandbox.protection).entry,
                    **asked,
                    "image_size": admission.image_size,
                    "path": plan.initial_weights,
                },
            )
            norm = f"; its `norm` is {plan.network['norm']}" if "norm" in plan.network else ""
            context.log.info(f"The network has {first['parameters']:,} parameters{norm}.")
            plan, earlier = take_up(context, home, plan)
            if earlier is not None and earlier.last_round == plan.rounds:
                result = finished_before(plan)
            else:
                for name, reason in require_budgets(sandbox, plan, hospitals).items():
                    context.log.warning(f"{name} will not learn: {reason}")
                with hospitals.sites(sandbox, plan, context.log.warning) as plan:
                    result = _run(context, home, federation, plan, hospitals.origin())
            require_allowed_images(result.rounds, admission, home.withdrawals)
            home.forget_federations(sandbox.name, keep=KEPT_RUNS)
        for name in admission.participants:
            yield from local_rounds(name, result, synthetic=admission.synthetic)
        yield global_model(
            plan,
            result,
            earlier=earlier,
            parameters=first["parameters"],
            synthetic=admission.synthetic,
        )

    return federated_training


def plan_training(
    roster: Roster,
    sandbox: Sandbox,
    admission: Admission,
    config: TrainingConfig,
    folder: Path,
    hospitals: LocalHospitalRunner,
) -> FederationPlan:
    """Returns the federation's plan: the roster, with what the run's config changes.

    Raises:
        QuorumNotMet: the last lifecycle admitted too few hospitals.
        IncompatibleControls: the roster asks for another rule than the sandbox promises.
        RunConfigError: the plan cannot be carried out.
    """
    if len(admission.participants) < admission.quorum:
        raise QuorumNotMet(
            f"The last lifecycle admitted {len(admission.participants)} hospitals, and the quorum "
            f"is {admission.quorum}",
            where="federation_roster",
            cure="Run the whole lifecycle: a retraining takes those that the last one admitted",
        )
    changes = config.model_dump(include={"local_epochs", "learning_rate"}, exclude_none=True)
    learning = roster.learning(sandbox.protection).changed(changes)
    limits, rule = roster.federation, rule_of(sandbox, roster.aggregation)
    return FederationPlan(
        sandbox=sandbox.name,
        transport=str(sandbox.transport),
        job_code=str(sandbox.job_code),
        hospitals=admission.participants,
        **hospitals.kept_by_all(sandbox, admission.participants),
        aggregation=rule.as_record(),
        folder=str(folder),
        outbox=str(folder / "outbox"),
        initial_weights=str(folder / "initial.safetensors"),
        rounds=config.rounds or roster.rounds,
        seed=roster.seeds[0] if config.seed is None else config.seed,
        recipe=learning.recipe.model_dump() | rule.told_hospitals,
        network=learning.network,
        classes=len(admission.classes),
        channels=admission.channels,
        quorum=admission.quorum,
        data_digest=admission.digest,
        port=limits.port,
        start_timeout_seconds=limits.start_timeout_seconds,
        round_timeout_seconds=limits.round_timeout_seconds,
        total_timeout_seconds=limits.total_timeout_seconds,
        process=str(sandbox.process),
    )


def _run(
    context: AssetExecutionContext,
    home: Home,
    federation: LocalFederation,
    plan: FederationPlan,
    origin: Origin,
) -> FederationResult:
    """Runs the plan; logs and observes each round when it is done, and why it failed."""
    contained: list[str] = []

    def on_event(event: dict[str, Any]) -> None:
        if event["event"] == "round":
            observe_round(context, event["round"], plan.rounds)
            contained.extend(event["round"]["participants"])
            require_none_withdrawn(
                home.withdrawals, contained, what="The training ends: it went on"
            )
        elif event["event"] == "lost":
            context.log.warning(f"{event['hospital']} is lost to the run: {event['reason']}.")
        else:
            elapsed = event["elapsed_seconds"]
            context.log.info(f"The federation is {event['event']} after {elapsed:.1f} s.")

    try:
        with withdrawal_said_first(home.withdrawals, plan.hospitals):
            return federation.run(context, plan, on_event, origin=origin)
    except (FedAssetsError, DagsterExecutionInterruptedError) as error:
        failure = str(error) or "The run was interrupted."
        observe_failure(context, failure, read_history(Path(plan.folder) / HISTORY_FILE))
        raise
