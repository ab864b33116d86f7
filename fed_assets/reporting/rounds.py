"""What a federation's rounds add up to: curves over the rounds, and sums per hospital."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from fed_assets.reporting.formats import NOT_RELEASED, SUPPRESSED

ROUND_METRICS = ("loss", "auroc", "accuracy")
ANSWER = (
    *ROUND_METRICS,
    "examples",
    "seconds",
    "bytes_up",
    "bytes_down",
    "update_digest",
    "dataset_digest",
    "epsilon",
    "delta",
)


def round_records(rounds: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Returns the rounds in order, with null for each figure that a hospital did not give."""
    nothing = dict.fromkeys(ANSWER)
    return [
        {
            "round_number": record["round_number"],
            "participants": {
                hospital: {**nothing, **answer}
                for hospital, answer in record.get("participants", {}).items()
            },
            "missing": record.get("missing", {}),
            "seconds": record.get("seconds"),
            "global_digest": record.get("global_digest"),
            "clipped": _clipped(record),
        }
        for record in sorted(rounds, key=lambda record: int(record["round_number"]))
    ]


def curves_of(rounds: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Returns lists with one entry per round: mean, min and max over hospitals, and sums.

    `auroc` and `accuracy` of a round are those of the global model that the hospitals received
    at its start, on their own validation images; `loss` is the round's own training loss.
    """
    curves: dict[str, Any] = {
        "round_number": [record["round_number"] for record in rounds],
        "participants": [len(record["participants"]) for record in rounds],
        "seconds": [record["seconds"] for record in rounds],
    }
    for metric in ROUND_METRICS:
        values = [defined(_column(record, metric)) for record in rounds]
        curves[metric] = {
            "mean": [mean(each) for each in values],
            "min": [min(each, default=None) for each in values],
            "max": [max(each, default=None) for each in values],
        }
    for way in ("bytes_up", "bytes_down"):
        curves[way] = [total(_column(record, way)) for record in rounds]
    return curves


def absent(metric: str, answers: Iterable[Mapping[str, Any]]) -> str:
    """Returns the word for a figure of a round that no hospital tells.

    AUROC and accuracy are withheld where counts are small; the loss, where privacy has a budget: it
    is a mean over training images to which no noise was added.
    """
    if not any(metric in answer.get("suppressed", ()) for answer in answers):
        return "not recorded"
    return NOT_RELEASED if metric == "loss" else SUPPRESSED


def sent_by(hospital: str, rounds: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Returns what a participant sent and received over all rounds, with its last digests.

    `epsilon` is what it had spent, at `delta`, after the last one: of all its rounds so far.
    """
    answers = [
        record["participants"][hospital] for record in rounds if hospital in record["participants"]
    ]
    last = answers[-1]
    return {
        "rounds": len(answers),
        "examples": last["examples"],
        "seconds": total(answer["seconds"] for answer in answers),
        "bytes_up": total(answer["bytes_up"] for answer in answers),
        "bytes_down": total(answer["bytes_down"] for answer in answers),
        "update_digest": last["update_digest"],
        "dataset_digest": last["dataset_digest"],
        "epsilon": last["epsilon"],
        "delta": last["delta"],
    }


def defined(values: Iterable[float | None]) -> list[float]:
    """Returns the values that are finite numbers."""
    return [value for value in values if value is not None and math.isfinite(value)]


def mean(values: Sequence[float]) -> float | None:
    """Returns the unweighted mean, None of nothing."""
    return math.fsum(values) / len(values) if values else None


def total(values: Iterable[float | None]) -> float | None:
    """Returns the sum of what was recorded, None where nothing was."""
    recorded = defined(values)
    return sum(recorded) if recorded else None


def _clipped(record: Mapping[str, Any]) -> int | None:
    """Returns how many hospitals scaled their updates down, None where they do not clip."""
    answers = record.get("participants", {}).values()
    said = [answer["clipped"] for answer in answers if "clipped" in answer]
    return sum(said) if said else None


def _column(record: Mapping[str, Any], name: str) -> list[Any]:
    return [answer[name] for answer in record["participants"].values()]
