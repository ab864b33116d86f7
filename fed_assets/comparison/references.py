"""What a federation gains each hospital over training alone, and loses against pooled images.

References are the same network trained on all open images pooled, and by each hospital alone. A run
is compared with those of its own kind: seed, rounds, network, recipe, threshold and images have to
be alike, or the difference would tell of something else than the federation. Under differential
privacy the run's network and recipe are others; its references are those of the roster.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

METRICS = ("auroc", "accuracy")
POOLED, ALONE = AGAINST = ("pooled", "alone")
# Why a run has no references of its kind: none at all, or what of theirs is another.
NONE, SEED, ROUNDS, IMAGES = "none", "seed", "rounds", "images"
LEARNING = ("network", "recipe", "threshold")
WHY_NOT = (NONE, SEED, ROUNDS, *LEARNING, IMAGES)
Interval = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Kind:
    """What a run was trained and tested with, as far as a reference has to be alike.

    Attributes:
        seed: of its training.
        rounds: how many it finished.
        learning: `network`, `recipe` and `threshold`; None where they were not recorded.
        test_digest: digest of the common test set; None without one.
        digests: of each hospital's images.
        private: whether differential privacy gave it a network of its own.
    """

    seed: int
    rounds: int
    learning: Mapping[str, Any] | None
    test_digest: str | None
    digests: Mapping[str, str]
    private: bool = False


def kind_of(record: Mapping[str, Any], digests: Mapping[str, Any]) -> Kind:
    """Returns the kind of a run from its report or its measurement.

    Args:
        record: has `seed`, `rounds`, `data`, `controls` and, where it was recorded,
            `reference_learning`: what references of the run's kind are trained with.
        digests: of each hospital's images; what is not known is None.
    """
    protection = (record.get("controls") or {}).get("update_protection")
    declared = protection.get("declared") if isinstance(protection, Mapping) else protection
    return Kind(
        seed=record["seed"],
        rounds=record["rounds"],
        learning=record.get("reference_learning"),
        test_digest=(record.get("data") or {}).get("test_digest"),
        digests={name: digest for name, digest in digests.items() if digest},
        private=declared == "differential_privacy",
    )


def alike(references: Mapping[str, Any] | None, kind: Kind) -> dict[str, Any]:
    """Returns the references of a run's kind, or why there are none.

    Args:
        references: what `reference_models` came to, all seeds; None where it never did.
        kind: the run's.

    Returns:
        `why_not`, one of `WHY_NOT` or None; `private`; and, where there are any, `pooled` and by
        hospital `alone`, as they were trained, with the hospitals whose images were `pooled_from`.
    """
    why_not = _why_not(references, kind)
    found = {"why_not": why_not, "private": kind.private}
    if references is None or why_not is not None:
        return found
    of_seed = references["seeds"][str(kind.seed)]
    return {
        **found,
        "pooled": of_seed["pooled"],
        "pooled_from": list(references["digests"]),
        "alone": {name: each for name, each in of_seed["alone"].items() if name in kind.digests},
    }


def _why_not(references: Mapping[str, Any] | None, kind: Kind) -> str | None:
    if references is None:
        return NONE
    if str(kind.seed) not in references["seeds"]:
        return SEED
    if references["rounds"] != kind.rounds:
        return ROUNDS
    trained_with = references.get("learning") or {}
    for part in LEARNING:
        if not _same(trained_with.get(part), (kind.learning or {}).get(part)):
            return part
    digests = references["digests"]
    shared = digests.keys() & kind.digests.keys()
    same = all(digests[name] == kind.digests[name] for name in shared)
    if not shared or not same or references.get("test_digest") != kind.test_digest:
        return IMAGES
    return None


def _same(one: Any, other: Any) -> bool:
    """Returns whether two parts are recorded and alike, be one read from a file and one not."""
    as_text = (json.dumps(each, sort_keys=True, default=str) for each in (one, other))
    return one is not None and len(set(as_text)) == 1


def difference(one: Interval, other: Interval) -> dict[str, float | None]:
    """Returns one value less another, with the interval that their own intervals leave.

    Each end is as far off as the two values' ends together, as if they were independent (Zou and
    Donner 2008, Construction of confidence limits about effect measures, Statistics in Medicine
    27:1693). Two models are seldom right and wrong on the same images by chance alone, so that the
    interval is rather too long than too short. Where neither has any width, as of few images that
    are all told right, there is none.

    Args:
        one: `value`, `low` and `high`; None each where there is none.
        other: likewise.

    >>> found = difference({"value": 0.9, "low": 0.87, "high": 0.92}, {"value": 0.8, "low": 0.76})
    >>> {name: each and round(each, 3) for name, each in found.items()}
    {'value': 0.1, 'low': None, 'high': None}
    >>> other = {"value": 0.8, "low": 0.76, "high": 0.84}
    >>> found = difference({"value": 0.9, "low": 0.87, "high": 0.92}, other)
    >>> {name: round(each, 3) for name, each in found.items()}
    {'value': 0.1, 'low': 0.05, 'high': 0.145}
    """
    nothing = dict.fromkeys(("value", "low", "high"))
    if one.get("value") is None or other.get("value") is None:
        return {**nothing}
    value = one["value"] - other["value"]
    if any(each.get(end) is None for each in (one, other) for end in ("low", "high")):
        return {**nothing, "value": value}
    below = math.hypot(one["value"] - one["low"], other["high"] - other["value"])
    above = math.hypot(one["high"] - one["value"], other["value"] - other["low"])
    if not below and not above:  # all resamples of both agree, which tells nothing of the doubt
        return {**nothing, "value": value}
    return {"value": value, "low": value - below, "high": value + above}


def gain_rows(
    found: Mapping[str, Any], test: Mapping[str, Interval], own: Mapping[str, Mapping[str, Any]]
) -> list[dict[str, Any]]:
    """Returns what a run's global model is worth, less what each reference is.

    Above zero the federation gains, below it loses. On the common test set the references are one
    per hospital, and the pooled one; on a hospital's own test images both of its own. What the
    hospital withholds of the global model is withheld of the references, as they were tested on the
    very same images.

    Args:
        found: of `alike`, with references.
        test: the global model's `METRICS` on the common test set.
        own: by hospital, on its own test images.

    Returns:
        Rows of `hospital` (None: the common test set's, of all), `images` ("test" or "own"),
        `against`, `metric`, `federated` and `reference` (values), and the difference as `value`,
        `low` and `high`; `withheld` says that the hospital does not tell it.
    """
    alone, pooled = found["alone"], found["pooled"]
    rows = [_row(None, "test", POOLED, test, pooled["test"], metric) for metric in METRICS]
    for name, model in alone.items():
        rows += [_row(name, "test", ALONE, test, model["test"], metric) for metric in METRICS]
    for name, reached in own.items():
        for against, model in ((ALONE, alone.get(name)), (POOLED, pooled)):
            tested = ((model or {}).get("own") or {}).get(name)
            if tested:
                rows += [_row(name, "own", against, reached, tested, metric) for metric in METRICS]
    return rows


def _row(
    hospital: str | None,
    images: str,
    against: str,
    federated: Mapping[str, Interval],
    reference: Mapping[str, Interval],
    metric: str,
) -> dict[str, Any]:
    reached, known = federated[metric], reference[metric]
    withheld = bool(reached.get("suppressed"))
    return {
        "hospital": hospital,
        "images": images,
        "against": against,
        "metric": metric,
        "federated": reached.get("value"),
        "reference": None if withheld else known.get("value"),
        **difference(reached, {} if withheld else known),
        "withheld": withheld,
    }


def spread_of(rows: Iterable[Mapping[str, Any]], metric: str) -> dict[str, Any] | None:
    """Returns `mean`, `least` and `most` that hospitals gain over training alone, and their number.

    On the common test set, where all are tested alike; None where no hospital can be compared.

    Args:
        rows: of `gain_rows`.
        metric: one of `METRICS`.
    """
    gains: Sequence[float] = [
        row["value"]
        for row in rows
        if (row["images"], row["against"], row["metric"]) == ("test", ALONE, metric)
        and row["value"] is not None
    ]
    if not gains:
        return None
    mean = math.fsum(gains) / len(gains)
    return {"mean": mean, "least": min(gains), "most": max(gains), "hospitals": len(gains)}
