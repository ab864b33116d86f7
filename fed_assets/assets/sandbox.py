"""One row per control: what the sandbox of this partition promises, checked before all else."""

# No `from __future__ import annotations` here: Dagster reads the annotations of asset functions.

from typing import Any

from dagster import (
    AssetExecutionContext,
    AssetsDefinition,
    MaterializeResult,
    MetadataValue,
    TableRecord,
)

from fed_assets.assets.failures import clear_failures
from fed_assets.assets.partitions import Materialized, chosen_sandbox, lifecycle_asset
from fed_assets.federation.agreed_rule import agreed_rule
from fed_assets.federation.roster import Roster
from fed_assets.resources.hospital_runner import LocalHospitalRunner
from fed_assets.resources.sandboxes import Sandboxes
from fed_assets.sandboxes.enforcement import numbers_of, shown
from fed_assets.sandboxes.sandbox import Sandbox


def build_sandbox_asset(roster: Roster) -> AssetsDefinition:
    """Returns the asset `sandbox_controls`, the root of every run."""

    @lifecycle_asset(group_name="sandbox", kinds={"yaml"})
    def sandbox_controls(
        context: AssetExecutionContext, sandboxes: Sandboxes, hospitals: LocalHospitalRunner
    ) -> Materialized:
        """What this sandbox promises to the hospitals: one row per control.

        A control that this version does not enforce refuses the run here, before any image is read.
        `confinement` says what stands around the processes of a sandbox that confines them, and
        what of it could not be held. `update_protection` and `aggregation` hold the numbers of
        these controls, where they have any, and the rule as the roster refines it.
        """
        with clear_failures():
            sandbox = chosen_sandbox(context, sandboxes)
            rule = agreed_rule(roster, sandbox)
            confinement = hospitals.confinement(sandbox)
        controls = {name: shown(sandbox, name) for name in sandbox.controls()}
        controls["aggregation"] = str(rule.kind)
        rows = [
            TableRecord({"control": name, "value": value, "decides": _decides(name)})
            for name, value in controls.items()
        ]
        metadata: dict[str, Any] = {"controls": MetadataValue.table(rows)}
        if sandbox.suppressed_below:
            metadata["suppress_below"] = sandbox.suppressed_below
        for control, numbers in numbers_of(sandbox, rule).items():
            metadata[control] = MetadataValue.json({"kind": controls[control], **numbers})
        if confinement is not None:
            metadata["confinement"] = MetadataValue.json(confinement.as_record())
        return MaterializeResult(value=controls, metadata=metadata)

    return sandbox_controls


def _decides(control: str) -> str:
    """Returns what a control is about, in the words of its definition."""
    kind = Sandbox.model_fields[control].annotation
    if kind is bool:
        return "Whether these pages show pictures of a hospital's images."
    return (kind.__doc__ or "").partition("\n")[0]
