"""One row per hospital: whether it takes part, and if not, why."""

# No `from __future__ import annotations` here: Dagster reads the annotations of asset functions.

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from dagster import (
    AssetCheckResult,
    AssetCheckSpec,
    AssetExecutionContext,
    AssetIn,
    AssetKey,
    AssetsDefinition,
    Config,
    DataVersion,
    MaterializeResult,
    MetadataValue,
    TableRecord,
)
from pydantic import Field

from fed_assets.assets.common_test import prepare_common_test
from fed_assets.assets.failures import clear_failures
from fed_assets.assets.notice import synthetic_notice
from fed_assets.assets.partitions import Materialized, chosen_sandbox, lifecycle_asset
from fed_assets.assets.reused_lanes import reused_lanes
from fed_assets.errors import MEND, caused_by
from fed_assets.federation.admission import Admission, admit
from fed_assets.federation.revocations import revoked_in
from fed_assets.federation.roster import Roster
from fed_assets.federation.withdrawals import withdrawn
from fed_assets.resources.hospital_runner import LocalHospitalRunner
from fed_assets.resources.sandboxes import Sandboxes
from fed_assets.resources.settings import Settings

NOT_IN_ROUNDS = (
    "its machine is in Azure ML, and the roster's `federation` has no `door` at which it could call"
)


class RosterConfig(Config):
    """Hospitals that this run goes without."""

    leave_out: list[str] = Field(default=[], description="Ids of hospitals to leave out.")


def build_roster_asset(roster: Roster, settings: Settings) -> AssetsDefinition:
    """Returns the asset `federation_roster` with its blocking check `quorum_met`."""

    @lifecycle_asset(
        group_name="federation",
        kinds={"yaml"},
        ins={name: AssetIn(AssetKey([name, "validated_images"])) for name in roster.hospital_ids},
        check_specs=[
            AssetCheckSpec(
                "quorum_met",
                asset="federation_roster",
                blocking=True,
                description="Enough hospitals may take part; without it nothing is trained.",
            )
        ],
    )
    def federation_roster(
        context: AssetExecutionContext,
        config: RosterConfig,
        sandboxes: Sandboxes,
        hospitals: LocalHospitalRunner,
        **validated: dict[str, Any],
    ) -> Materialized:
        """Who takes part in the federation, and who does not and why: one row per hospital.

        `quorum` is the least number of hospitals with which training may start. `lanes_reused` are
        the hospitals whose images this run took as they stood; `saved_seconds` is what that took
        when it was done.
        """
        with clear_failures():
            sandbox = chosen_sandbox(context, sandboxes)
            admission = admit(
                roster.hospital_ids,
                validated | without_client(roster, validated),
                quorum=roster.quorum,
                leave_out=config.leave_out,
                revoked=revoked_in(settings.home.revocations, sandbox.name),
                withdrawn=withdrawn(settings.home.withdrawals),
            )
            common = prepare_common_test(roster, settings, sandbox, hospitals, admission)
        for hospital, reason in admission.excluded.items():
            context.log.warning(f"{hospital} does not take part: {reason}")
        return MaterializeResult(
            value=admission.as_record() | {"common_test": asdict(common) if common else None},
            data_version=DataVersion(admission.digest),
            metadata={
                **synthetic_notice(admission.synthetic),
                "participants": len(admission.participants),
                "quorum": admission.quorum,
                "hospitals": MetadataValue.table(_rows(roster, admission)),
                "synthetic": admission.synthetic,
                **reused_lanes(context, roster.hospital_ids),
            },
            check_results=[_quorum_check(context, admission)],
        )

    return federation_roster


def without_client(
    roster: Roster, validated: Mapping[str, Mapping[str, Any]]
) -> dict[str, dict[str, Any]]:
    """Returns a refusal of each validated hospital whose client could not reach the server."""
    return {
        name: {"admitted": False, "reason": NOT_IN_ROUNDS}
        for name in roster.azure_ids
        if not roster.federation.door and validated[name]["admitted"]
    }


def _rows(roster: Roster, admission: Admission) -> list[TableRecord]:
    return [
        TableRecord(
            {
                "hospital": hospital.id,
                "name": hospital.name,
                "region": hospital.region,
                "takes part": "yes" if hospital.id in admission.participants else "no",
                "why not": admission.excluded.get(hospital.id, ""),
            }
        )
        for hospital in roster.hospitals
    ]


def _quorum_check(context: AssetExecutionContext, admission: Admission) -> AssetCheckResult:
    wanting = None if admission.quorum_met else shortfall(admission)
    if wanting:
        context.log.error(f"The quorum is not met: {wanting}")
    return AssetCheckResult(
        check_name="quorum_met",
        passed=admission.quorum_met,
        description=wanting,
        metadata={
            "participants": len(admission.participants),
            "quorum": admission.quorum,
            "excluded": MetadataValue.json(dict(admission.excluded)),
        },
    )


def shortfall(admission: Admission) -> str:
    """Returns what is wanting, with each reason said once and the hospitals that it holds for."""
    hospitals: dict[str, list[str]] = {}
    for hospital, reason in admission.excluded.items():
        alike = reason.replace(f" Where: hospital {hospital}.", "")  # whom it holds for is said
        hospitals.setdefault(alike, []).append(hospital)
    told = caused_by(
        [f"{', '.join(names)}: {reason}" for reason, names in hospitals.items()],
        cure="Mend these, leave them out by the run config `leave_out`, or lower the roster's "
        "`quorum`.",
    )
    enough = (
        f"{len(admission.participants)} hospitals may take part, and {admission.quorum} have to"
    )
    return f"{enough}. {told['seen']}.{MEND}{told['cure']}"
