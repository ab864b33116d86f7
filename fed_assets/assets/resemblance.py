"""One check per hospital: whether its images resemble those that the last model learned from."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from dagster import (
    AssetCheckResult,
    AssetCheckSeverity,
    AssetCheckSpec,
    AssetExecutionContext,
    AssetKey,
    MetadataValue,
    TableRecord,
)

from fed_assets.errors import DataError, HospitalError, StorageError
from fed_assets.federation.roster import Hospital, Roster
from fed_assets.resources.artifact_store import read_whole
from fed_assets.resources.hospital_runner import LocalHospitalRunner
from fed_assets.sandboxes.sandbox import Sandbox

RESEMBLES = "resembles_the_champions_data"
NOTHING_LEARNED = "no model has learned from this hospital's images yet"


def resemblance_spec(asset: AssetKey) -> AssetCheckSpec:
    """Returns the check, which holds nothing up."""
    return AssetCheckSpec(
        RESEMBLES,
        asset=asset,
        description="The images' grey levels and the shares of their classes are like those that "
        "the last model learned from. The hospital looks, and tells statistics alone. If this "
        "fails, it shows as a warning, and the hospital takes part all the same.",
    )


def check_resemblance(
    context: AssetExecutionContext,
    roster: Roster,
    hospital: Hospital,
    sandbox: Sandbox,
    hospitals: LocalHospitalRunner,
    artifacts: Path,
) -> AssetCheckResult:
    """Has a hospital compare its images with those of the last model; what fails is a warning."""
    try:
        reference = learned_from(artifacts, sandbox.name, hospital.id)
        if reference is None:
            return not_compared(NOTHING_LEARNED)
        limits = roster.drift.model_dump()
        asked = {"reference": reference, "limits": limits}
        answer = hospitals.ask(sandbox, hospital.id, "compare_images", asked)
    except (DataError, HospitalError, StorageError) as error:
        context.log.warning(f"{hospital.id}: {error}")
        return _result(False, f"The images could not be compared: {error}", {})
    if not answer["compared"]:
        return not_compared(answer["why_not"])
    differing = [row for row in (*answer["intensity"], *answer["labels"]) if row["differs"]]
    if differing:
        context.log.warning(f"{hospital.id}: {_sentence(differing)}")
    return _result(not differing, _sentence(differing), _shown(answer))


def not_compared(reason: str) -> AssetCheckResult:
    """Returns the result where there was nothing to compare; it says so, and passes."""
    return _result(True, f"Nothing was compared: {reason}.", {})


def learned_from(artifacts: Path, sandbox: str, hospital: str) -> str | None:
    """Returns the digest of the images that a hospital brought into a sandbox's last model.

    Raises:
        StorageError: The model's record is damaged.
    """
    model = read_whole(
        artifacts / "global_model" / f"{sandbox}.json",
        what="The value of the asset global_model",
        cure="Materialize global_model again.",
    )
    for record in reversed((model or {}).get("rounds", [])):
        if hospital in record["participants"]:
            return str(record["participants"][hospital]["dataset_digest"])
    return None


def _result(passed: bool, said: str, metadata: Mapping[str, Any]) -> AssetCheckResult:
    return AssetCheckResult(
        check_name=RESEMBLES,
        passed=passed,
        severity=AssetCheckSeverity.WARN,
        description=said,
        metadata=metadata,
    )


def _sentence(differing: Iterable[Mapping[str, Any]]) -> str:
    said = []
    for row in differing:
        if row["quantity"] == "labels":
            what, figure = "the shares of the classes", "stability index"
            seen = row["stability_index"]
        else:
            what = f"the {'means' if row['quantity'] == 'mean' else 'contrasts'} of grey levels"
            figure, seen = "Kolmogorov-Smirnov statistic", row["statistic"]
        said.append(f"{what} of {_named(row['group'])} differ ({figure} {seen})")
    if not said:
        return "The images resemble those that the last model learned from."
    return (
        f"Against the images that the last model learned from, {'; '.join(said)}. Ask the hospital "
        "what changed in how images are taken or chosen, before the next model is promoted."
    )


def _named(group: str) -> str:
    return group if group.startswith("all") else f"the {group}"


def _shown(answer: Mapping[str, Any]) -> dict[str, Any]:
    intensity = ("group", "quantity", "statistic", "p_value", "shift", "differs")
    labels = ("group", "stability_index", "jensen_shannon", "p_value", "differs")
    return {
        **answer["images"],
        "intensity": _table(answer["intensity"], intensity),
        "labels": _table(answer["labels"], labels),
    }


def _table(rows: Iterable[Mapping[str, Any]], columns: Iterable[str]) -> MetadataValue[Any]:
    columns = tuple(columns)
    return MetadataValue.table(
        [TableRecord({name: _plain(row[name]) for name in columns}) for row in rows]
    )


def _plain(value: Any) -> Any:
    """Returns a figure with few digits, and a verdict in words."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return float(f"{value:.3g}") if isinstance(value, float) else value
