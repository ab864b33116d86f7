"""What the models of measured runs give away of who they learned from, by an attack on open images.

A hospital lets no figure out of its training images but by an update. So the attack is made on
images that are open anyway: the coordinator holds what the references learn from, and what a model
learned from is known by its digest.
"""

# No `from __future__ import annotations` here: Dagster reads the annotations of asset functions.

from collections import Counter
from collections.abc import Mapping
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
from fed_assets.assets.failures import clear_failures
from fed_assets.assets.kept_measurements import kept_measurements
from fed_assets.assets.measurement import interval_of
from fed_assets.assets.notice import synthetic_notice
from fed_assets.assets.open_data import NOT_OPEN
from fed_assets.assets.open_sensitivity import WORST, figure_of, open_sensitivity
from fed_assets.assets.partitions import Materialized, unpartitioned_asset
from fed_assets.assets.stored_references import reference_value
from fed_assets.comparison.stored import (
    FIGURE,
    MEMBERSHIP_CURE,
    require_membership,
    whole_attacks,
)
from fed_assets.errors import ContainerRefused, FedAssetsError, StorageError
from fed_assets.resources.artifact_store import read_value
from fed_assets.resources.home import Home
from fed_assets.resources.hospital_runner import COORDINATOR, LocalHospitalRunner
from fed_assets.resources.settings import Settings
from fed_assets.resources.turns import take_turn
from fed_assets.sandboxes.presets import OPEN_DATA, REFERENCE

ASSET = "membership_inference"
# Another version of the attack: what an earlier one showed is not taken over.
ATTACK = {"by": "loss", "version": 2, "resamples": RESAMPLES}
# Of a run that was measured by a version that kept no weights.
NO_MODEL: Mapping[str, Any] = {"weights": None, "network": None, "learned_from": {}}
# Why a hospital has no figure.
TOO_OLD = "an earlier version measured its run, and kept no weights: run it again"
NO_REFERENCES = "what is open is not known: materialize reference_models first"
OTHER_IMAGES = "the model learned from other images of it than the references"
TOO_FEW = "it has fewer than two images to recognise, or two others to tell them from"
# The same in a word each, for the comparison's page; and of what is told otherwise.
REASONS = {
    TOO_OLD: "no_weights",
    NO_REFERENCES: "no_references",
    OTHER_IMAGES: "other_images",
    TOO_FEW: "too_few_images",
    NOT_OPEN: "own_images",
}
NOT_ATTACKED, ATTACK_FAILED = "not_attacked", "attack_failed"


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
            models = [
                _attacked(each, known, references, settings.home, hospitals) for each in records
            ]
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


def with_membership(record: dict[str, Any], attacks: Mapping[str, Any] | None) -> dict[str, Any]:
    """Returns a measurement with what an attack on its very model showed, or why there is none.

    Args:
        record: the measurement.
        attacks: the value of `membership_inference`; None where it has none.
    """
    found = _earlier(record, attacks) or _not_attacked(record)
    figures = {name: interval_of(figure) for name, figure in found["hospitals"].items()}
    why_not = {
        name: REASONS.get(reason, ATTACK_FAILED) for name, reason in found["not_measured"].items()
    }
    told = record | {
        "hospitals": {
            name: {**hospital, "membership_advantage": figures.get(name)}
            | ({"not_measured": {FIGURE: why_not[name]}} if name in why_not else {})
            for name, hospital in record["hospitals"].items()
        }
    }
    if resampled := _resampled_elsewhere(record, found):
        told["resampled_elsewhere"] = resampled
    if found["pooled"] is not None:
        pooled = {FIGURE: interval_of(found["pooled"])}
        return told | {"security": {**record["security"], **pooled}}
    # What holds most of its hospitals back holds the run back.
    reason = Counter(why_not.values()).most_common(1)[0][0] if why_not else NOT_ATTACKED
    return told | {"not_measured": {**record.get("not_measured", {}), FIGURE: reason}}


def _resampled_elsewhere(
    record: Mapping[str, Any], found: Mapping[str, Any]
) -> dict[str, dict[str, Any]]:
    """Returns the resamples of other images than the common ones, of the figures that were told."""
    worst = found[WORST] if found[WORST]["figure"] == figure_of(record) else {}
    pooled = found["resampled"] if (found["pooled"] or {}).get("value") is not None else None
    known = {WORST: worst.get("resampled"), FIGURE: pooled}
    return {
        name: {"of": each["of"], "values": next(iter(each["values"].values()))}
        for name, each in known.items()
        if each
    }


def _not_attacked(record: Mapping[str, Any]) -> dict[str, Any]:
    """Returns what is known of a run whose model nobody attacked."""
    kept = (record.get("model") or NO_MODEL)["weights"]
    reasons = {} if kept else dict.fromkeys(record["hospitals"], TOO_OLD)
    nothing: dict[str, Any] = {"pooled": None, "hospitals": {}, "resampled": None}
    return nothing | {WORST: {"figure": None}, "not_measured": reasons}


def membership_value(home: Home) -> dict[str, Any] | None:
    """Returns what `membership_inference` last came to; None where it never did.

    Raises:
        StorageError: its value is damaged.
    """
    value = read_value(home, ASSET, cure=MEMBERSHIP_CURE)
    return None if value is None else require_membership(value, home.artifacts / f"{ASSET}.json")


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
    known = _earlier(record, attacks)
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


def _earlier(record: Mapping[str, Any], attacks: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """Returns what is known already of a run's model; None where it is another model's."""
    if attacks is None or attacks["attack"] != ATTACK:
        return None
    model = record.get("model") or NO_MODEL
    wanted = {"sandbox": record["sandbox"], "seed": record["seed"], **model}
    models: list[dict[str, Any]] = attacks["models"]
    return next((each for each in models if wanted.items() <= each.items()), None)


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
