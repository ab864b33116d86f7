"""What the models of measured runs give away of who they learned from, by an attack on open images.

A hospital lets no figure out of its training images but by an update. So the attack is made on
images that are open anyway: the coordinator holds what the references learn from, and what a model
learned from is known by its digest.
"""

# No `from __future__ import annotations` here: Dagster reads the annotations of asset functions.

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

from dagster import (
    AssetExecutionContext,
    AssetsDefinition,
    MaterializeResult,
    MetadataValue,
    TableRecord,
)

from fed_assets.assets.evaluation import COMMON_SEED, RESAMPLES
from fed_assets.assets.everywhere import at_once
from fed_assets.assets.failures import clear_failures
from fed_assets.assets.kept_measurements import kept_measurements
from fed_assets.assets.known_attacks import (
    ASSET,
    ATTACK,
    NO_MODEL,
    NO_REFERENCES,
    OTHER_IMAGES,
    TOO_FEW,
    TOO_OLD,
    earlier_attack,
    membership_value,
)
from fed_assets.assets.notice import synthetic_notice
from fed_assets.assets.open_sensitivity import open_sensitivity
from fed_assets.assets.partitions import Materialized, unpartitioned_asset
from fed_assets.assets.stored_references import reference_value
from fed_assets.comparison.loading import load_libraries
from fed_assets.comparison.stored import MEMBERSHIP_CURE, whole_attacks
from fed_assets.comparison.worst_hospital import WORST
from fed_assets.errors import ContainerRefused, FedAssetsError, StorageError
from fed_assets.resources.artifact_store import read_value
from fed_assets.resources.home import Home
from fed_assets.resources.hospital_runner import COORDINATOR, LocalHospitalRunner
from fed_assets.resources.settings import Settings
from fed_assets.resources.turns import take_turn
from fed_assets.sandboxes.presets import OPEN_DATA, REFERENCE


def build_membership_asset(settings: Settings) -> AssetsDefinition:
    """Returns the asset `membership_inference`, over the models of all measured runs."""

    @unpartitioned_asset(
        group_name="comparison", kinds={"pytorch"}, deps=["evaluation_report", "reference_models"]
    )
    def membership_inference(
        context: AssetExecutionContext, hospitals: LocalHospitalRunner
    ) -> Materialized:
        """How well a global model's loss tells the images that it learned from: one row per model.

        `advantage` is the share of the training images that the attack recognises, less the share
        of others of the same hospital that it takes for such: 0 is chance, 1 is all of them. It is
        measured on open images alone; a hospital with images of its own has no figure. A model that
        was attacked before is not attacked again. A threshold on the loss is a weak attack: a small
        advantage is no proof that a stronger one finds nothing. What resamples of these images come
        to is kept, and so is that of the sensitivity at the worst hospital, where its images are
        open: the comparison draws models in pairs by them.
        """
        with clear_failures(), take_turn(settings.home, REFERENCE, lambda: None):
            records = list(kept_measurements(settings.home))
            known, references = _known(context, settings.home), reference_value(settings.home)
            by_name = {_name(each): each for each in records}

            def attacked(name: str) -> dict[str, Any]:
                return _attacked(by_name[name], known, references, settings.home, hospitals)

            if any(earlier_attack(each, known) is None for each in records):
                hospitals.origin()  # it ends with the thread that opens it: not with one beside
            # A core is idle while what attacks loads, and the comparison comes next.
            with ThreadPoolExecutor(1) as beside:
                beside.submit(load_libraries)
                models = list(at_once(list(by_name), attacked).values())
        for model in models:
            if why_not := model[WORST]["why_not"]:
                context.log.info(
                    f"{_name(model)}: no resamples of its worst sensitivity: {why_not}"
                )
            for reason, names in _by_reason(model["not_measured"]).items():
                context.log.warning(f"{_name(model)}: no figure of {', '.join(names)}: {reason}")
        rows = [_row(model) for model in models if model["pooled"]]
        return MaterializeResult(
            value={"attack": ATTACK, "models": models},
            metadata={
                **synthetic_notice(any(each["data"]["synthetic"] for each in records)),
                **({"models": MetadataValue.table(rows)} if rows else {}),
                "not_measured": MetadataValue.json(
                    {_name(model): model["not_measured"] for model in models}
                ),
            },
        )

    return membership_inference


def _known(context: AssetExecutionContext, home: Home) -> dict[str, Any] | None:
    """Returns what is known already, but for what is damaged, which is attacked anew."""
    try:
        return membership_value(home)
    except ContainerRefused:
        raise
    except StorageError as error:
        context.log.warning(f"What is damaged is attacked anew. {error}")
    with suppress(StorageError):
        value = read_value(home, ASSET, cure=MEMBERSHIP_CURE)
        return None if value is None else whole_attacks(value)
    return None


def _attacked(
    record: Mapping[str, Any],
    attacks: Mapping[str, Any] | None,
    references: Mapping[str, Any] | None,
    home: Home,
    hospitals: LocalHospitalRunner,
) -> dict[str, Any]:
    """Returns what is known of a run's model: as it was known, or by an attack on it."""
    model = record.get("model") or NO_MODEL
    found: dict[str, Any] = {"sandbox": record["sandbox"], "seed": record["seed"], **model}
    nothing: dict[str, Any] = {"pooled": None, "hospitals": {}, "resampled": None}
    if not model["weights"]:
        nothing[WORST] = open_sensitivity(record, None, {}, {}, home, hospitals)
        return found | nothing | {"not_measured": dict.fromkeys(record["hospitals"], TOO_OLD)}
    is_open, closed = _told_apart(model["learned_from"], references)
    known = earlier_attack(record, attacks)
    found[WORST] = open_sensitivity(
        record, known and known[WORST], is_open, closed, home, hospitals
    )
    if not is_open:
        return found | nothing | {"not_measured": closed}
    if known is not None and known["hospitals"].keys() == is_open.keys():
        return known | {WORST: found[WORST]}
    asked = {
        "hospitals": {
            name: {"store": str(hospitals.store(name, OPEN_DATA)), "digest": digest}
            for name, digest in is_open.items()
        },
        "weights": str(home.measured_weights(record["sandbox"], record["seed"])),
        "digest": model["weights"],
        "network": model["network"],
        "resamples": RESAMPLES,
        "seed": COMMON_SEED,
    }
    try:
        answer = hospitals.ask(OPEN_DATA, COORDINATOR, "membership", asked)
    except FedAssetsError as error:
        return found | nothing | {"not_measured": closed | dict.fromkeys(is_open, str(error))}
    few = [name for name, figure in answer["hospitals"].items() if figure["value"] is None]
    return found | {
        "pooled": answer["pooled"],
        "hospitals": answer["hospitals"],
        "resampled": answer["resampled"],
        "not_measured": closed | dict.fromkeys(few, TOO_FEW),
    }


def _told_apart(
    learned_from: Mapping[str, str], references: Mapping[str, Any] | None
) -> tuple[dict[str, str], dict[str, str]]:
    """Returns the digests of what is open of a model's images, and why the others' are not."""
    if references is None:
        return {}, dict.fromkeys(learned_from, NO_REFERENCES)
    digests, left_out = references["digests"], references["left_out"]
    is_open = {name: each for name, each in learned_from.items() if digests.get(name) == each}
    closed = learned_from.keys() - is_open.keys()
    return is_open, {name: left_out.get(name, OTHER_IMAGES) for name in sorted(closed)}


def _by_reason(not_measured: Mapping[str, str]) -> dict[str, list[str]]:
    hospitals: dict[str, list[str]] = {}
    for hospital, reason in not_measured.items():
        hospitals.setdefault(reason, []).append(hospital)
    return hospitals


def _name(model: Mapping[str, Any]) -> str:
    return f"{model['sandbox']}, seed {model['seed']}"


def _row(model: Mapping[str, Any]) -> TableRecord:
    pooled = model["pooled"]
    network = str(model["network"]["_target_"]).rpartition(".")[2]
    figures = {"advantage" if name == "value" else name: of for name, of in pooled.items()}
    return TableRecord(
        {"sandbox": model["sandbox"], "seed": model["seed"], "network": network, **figures}
    )
