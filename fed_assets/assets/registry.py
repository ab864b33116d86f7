"""One registered version per run: the challenger, held against the version that serves."""

# No `from __future__ import annotations` here: Dagster reads the annotations of asset functions.

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from dagster import (
    AssetCheckResult,
    AssetCheckSeverity,
    AssetCheckSpec,
    AssetExecutionContext,
    AssetsDefinition,
    Config,
    DataVersion,
    MaterializeResult,
    MetadataValue,
    TableRecord,
)
from pydantic import Field

from fed_assets.assets.failures import clear_failures
from fed_assets.assets.judging import judge_version
from fed_assets.assets.notice import synthetic_notice
from fed_assets.assets.partitions import Materialized, chosen_sandbox, lifecycle_asset
from fed_assets.assets.registering import keep_card, register
from fed_assets.assets.version_record import version_record
from fed_assets.federation.admission import admission_from_record
from fed_assets.federation.roster import Roster
from fed_assets.registry.gate import Gate, Terms
from fed_assets.resources.hospital_runner import LocalHospitalRunner
from fed_assets.resources.model_registry import ModelRegistry
from fed_assets.resources.sandboxes import Sandboxes
from fed_assets.resources.settings import Settings


class JudgingConfig(Config):
    """Which version is judged; left empty, the run's own."""

    version: int | None = Field(
        default=None,
        ge=1,
        description="A version to judge anew; the last run's, if none.",
    )


def build_registry_asset(roster: Roster, settings: Settings) -> AssetsDefinition:
    """Returns the asset `registered_model`."""
    registry = ModelRegistry(settings.home)
    terms = Terms(**roster.promotion.model_dump())

    @lifecycle_asset(
        group_name="federation",
        kinds={"mlflow", "safetensors"},
        check_specs=[
            AssetCheckSpec(
                "gates_passed",
                asset="registered_model",
                description="The version may serve in the champion's place.",
            )
        ],
    )
    def registered_model(
        context: AssetExecutionContext,
        config: JudgingConfig,
        sandboxes: Sandboxes,
        hospitals: LocalHospitalRunner,
        federation_roster: dict[str, Any],
        global_model: dict[str, Any],
        evaluation_report: dict[str, Any],
    ) -> Materialized:
        """The model as a version of MLflow's registry, and whether it may serve: one row per gate.

        Where another version serves, every hospital tests both on the same images, and so does the
        coordinator on the common test set. The version passes where it is not worse: by no more
        than the roster's `promotion` allows overall, and at no hospital by more than that; and
        where it is of use at the threshold that is served. The sandbox has to have kept its word,
        budgets to be kept, and every hospital to have been there. It serves only once it is
        promoted; `fed-assets models` shows all versions.
        """
        with clear_failures():
            sandbox = chosen_sandbox(context, sandboxes)
            admission = admission_from_record(federation_roster)
            number = config.version
            if number is None:
                record = version_record(admission, global_model, evaluation_report)
                weights = Path(global_model["final_weights"])
                number = register(settings.home, registry, record, weights)
            version = registry.version(sandbox.name, number)
            card = keep_card(settings.home, version)
            gates, champion = judge_version(
                version,
                sandbox,
                hospitals,
                registry,
                terms,
                tested=admission.participants,
                has_common=federation_roster["common_test"] is not None,
            )
            registry.keep_judgement(
                sandbox.name,
                number,
                gates,
                against=champion,
                by=f"run {context.run.run_id[:8]}",
            )
        for gate in gates:
            if not gate.passed:
                context.log.warning(f"The gate {gate.name} is closed: {gate.said}")
        passed = all(gate.passed for gate in gates)
        return MaterializeResult(
            value={
                "sandbox": sandbox.name,
                "version": number,
                "run_id": version.run_id,
                "weights_digest": version.weights_digest,
                "champion": champion,
                "passed": passed,
                "gates": [gate.as_record() for gate in gates],
            },
            data_version=DataVersion(version.weights_digest),
            metadata={
                **synthetic_notice(version.synthetic),
                "version": number,
                **({} if champion is None else {"champion": champion}),
                "gates": MetadataValue.table([_row(gate) for gate in gates]),
                "passed": passed,
                "folder": MetadataValue.path(str(registry.folder(sandbox.name, number))),
                "mlflow_run": version.mlflow_run,
                **card,
                "weights_digest": version.weights_digest,
            },
            check_results=[_gates_check(gates)],
        )

    return registered_model


def _row(gate: Gate) -> TableRecord:
    seen, limit = (
        "" if each is None else round(each, 4) if isinstance(each, float) else each
        for each in (gate.seen, gate.limit)
    )
    return TableRecord(
        {
            "gate": gate.name,
            "passed": "yes" if gate.passed else "no",
            "seen": str(seen),
            "limit": str(limit),
            "why": gate.said,
        }
    )


def _gates_check(gates: Sequence[Gate]) -> AssetCheckResult:
    closed = [gate for gate in gates if not gate.passed]
    return AssetCheckResult(
        check_name="gates_passed",
        passed=not closed,
        severity=AssetCheckSeverity.WARN,
        description="; ".join(f"{gate.name}: {gate.said}" for gate in closed) or None,
        metadata={gate.name: gate.passed for gate in gates},
    )
