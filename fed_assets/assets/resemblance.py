"""One check per hospital: whether its images resemble those that the champion learned from."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

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
from fed_assets.resources.artifact_store import read_value, read_whole
from fed_assets.resources.home import Home
from fed_assets.resources.hospital_runner import LocalHospitalRunner
from fed_assets.resources.known_models import KnownModels
from fed_assets.sandboxes.sandbox import Sandbox

RESEMBLES = "resembles_the_champions_data"
NOTHING_LEARNED = "no model has learned from this hospital's images yet"


class LearnedFrom(NamedTuple):
    """Which images of a hospital a model learned from: their digest, and which model that is."""

    digest: str
    model: str


def resemblance_spec(asset: AssetKey) -> AssetCheckSpec:
    """Returns the check, which holds nothing up."""
    return AssetCheckSpec(
        RESEMBLES,
        asset=asset,
        description="The images' grey levels and the shares of their classes are like those that "
        "the model learned from that serves, or the last one while none does. The hospital looks, "
        "and tells statistics alone. If this fails, it shows as a warning, and the hospital takes "
        "part all the same.",
    )


def check_resemblance(
    context: AssetExecutionContext,
    roster: Roster,
    hospital: Hospital,
    sandbox: Sandbox,
    hospitals: LocalHospitalRunner,
    home: Home,
) -> AssetCheckResult:
    """Has a hospital compare its images with those of the champion; what fails is a warning."""
    try:
        reference = learned_from(home, sandbox.name, hospital.id)
        if reference is None:
            return not_compared(NOTHING_LEARNED)
        limits = roster.drift.model_dump()
        asked = {"reference": reference.digest, "limits": limits}
        answer = hospitals.ask(sandbox, hospital.id, "compare_images", asked)
    except (DataError, HospitalError, StorageError) as error:
        context.log.warning(f"{hospital.id}: {error}")
        return _result(False, f"The images could not be compared: {error}", {})
    if not answer["compared"]:
        return not_compared(answer["why_not"])
    differing = [row for row in (*answer["intensity"], *answer["labels"]) if row["differs"]]
    if differing:
        context.log.warning(f"{hospital.id}: {_sentence(differing, reference.model)}")
    return _result(not differing, _sentence(differing, reference.model), _shown(answer))


def not_compared(reason: str) -> AssetCheckResult:
    """Returns the result where there was nothing to compare; it says so, and passes."""
    return _result(True, f"Nothing was compared: {reason}.", {})


def learned_from(home: Home, sandbox: str, hospital: str) -> LearnedFrom | None:
    """Returns which of a hospital's images the champion learned from.

    Where none serves, or the hospital has no part in it, it is those of the sandbox's last model.

    Raises:
        StorageError: The registry cannot be reached, or a model's record is damaged.
    """
    models = KnownModels(home)
    champion = models.champion(sandbox)
    version = None if champion is None else models.record(sandbox, champion)
    if version is not None:
        lineage = read_whole(
            home.lineage / f"{version.run_id}.json",
            what="The lineage of the model that serves",
            cure="Put it back from a backup, or have another version serve.",
        )
        brought = (lineage or {"hospitals": {}})["hospitals"].get(hospital)
        if brought is not None:
            return LearnedFrom(brought["data_digests"][-1], f"version {champion}, which serves,")
    model = read_value(home, f"global_model/{sandbox}", cure="Materialize global_model again.")
    for record in reversed((model or {}).get("rounds", [])):
        if hospital in record["participants"]:
            digest = str(record["participants"][hospital]["dataset_digest"])
            return LearnedFrom(digest, "the last model")
    return None


def _result(passed: bool, said: str, metadata: Mapping[str, Any]) -> AssetCheckResult:
    return AssetCheckResult(
        check_name=RESEMBLES,
        passed=passed,
        severity=AssetCheckSeverity.WARN,
        description=said,
        metadata=metadata,
    )


def _sentence(differing: Iterable[Mapping[str, Any]], model: str) -> str:
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
        return f"The images resemble those that {model} learned from."
    return (
        f"Against the images that {model} learned from, {'; '.join(said)}. Ask the hospital "
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
