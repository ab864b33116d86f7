"""What is known of attacks on measured models, as a measurement tells it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from fed_assets.assets.evaluation import RESAMPLES
from fed_assets.assets.measurement import interval_of
from fed_assets.assets.open_data import NOT_OPEN
from fed_assets.comparison.stored import MEMBERSHIP_CURE, require_membership
from fed_assets.comparison.stored_forms import FIGURE
from fed_assets.comparison.worst_hospital import WORST, worst_figure
from fed_assets.resources.artifact_store import read_value
from fed_assets.resources.home import Home

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


def membership_value(home: Home) -> dict[str, Any] | None:
    """Returns what `membership_inference` last came to; None where it never did.

    Raises:
        StorageError: its value is damaged.
    """
    value = read_value(home, ASSET, cure=MEMBERSHIP_CURE)
    return None if value is None else require_membership(value, home.artifacts / f"{ASSET}.json")


def with_membership(record: dict[str, Any], attacks: Mapping[str, Any] | None) -> dict[str, Any]:
    """Returns a measurement with what an attack on its very model showed, or why there is none.

    Args:
        record: the measurement.
        attacks: the value of `membership_inference`; None where it has none.
    """
    found = earlier_attack(record, attacks) or _not_attacked(record)
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
    worst = found[WORST] if found[WORST]["figure"] == worst_figure(record) else {}
    pooled = found["resampled"] if (found["pooled"] or {}).get("value") is not None else None
    known = {WORST: worst.get("resampled"), FIGURE: pooled}
    return {
        name: {"of": each["of"], "values": next(iter(each["values"].values()))}
        for name, each in known.items()
        if each
    }


def earlier_attack(
    record: Mapping[str, Any], attacks: Mapping[str, Any] | None
) -> dict[str, Any] | None:
    """Returns what is known already of a run's model; None where it is another model's."""
    if attacks is None or attacks["attack"] != ATTACK:
        return None
    model = record.get("model") or NO_MODEL
    wanted = {"sandbox": record["sandbox"], "seed": record["seed"], **model}
    models: list[dict[str, Any]] = attacks["models"]
    return next((each for each in models if wanted.items() <= each.items()), None)


def _not_attacked(record: Mapping[str, Any]) -> dict[str, Any]:
    """Returns what is known of a run whose model nobody attacked."""
    kept = (record.get("model") or NO_MODEL)["weights"]
    reasons = {} if kept else dict.fromkeys(record["hospitals"], TOO_OLD)
    nothing: dict[str, Any] = {"pooled": None, "hospitals": {}, "resampled": None}
    return nothing | {WORST: {"figure": None}, "not_measured": reasons}
