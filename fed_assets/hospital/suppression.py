"""Counts of a few images, withheld from whatever leaves the hospital.

A count is small from 1 to one less than the sandbox's `suppress_below`; zero is told. A small count
alone is not enough to withhold: what adds up to a total is told as a whole or not at all, or the
total and the others would give it away. So a split's row of classes is told where none of its
counts is small, and the sum over the splits where no split is small. What is hidden shows in one
way, whether it is small itself or hides another: "below 10" beside a sum of 11 would say 1.
Metrics are told where every count that they can be reckoned from is.

The number of training images is told in any case: FedAvg weighs updates by it. Where it is small,
the hospital sends no update. Under secure aggregation it is told to nobody with the update, and its
peers learn the next power of two; under homomorphic encryption it is in what is encrypted; where it
is small, the hospital takes no part all the same.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any

from fed_assets.containers.issuing import DEAD
from fed_assets.errors import (
    DataError,
    DisclosureRefused,
    FedAssetsError,
    error_from_record,
)
from fed_assets.hospital.disclosed_looks import (
    COMPARED,
    LOOK,
    disclosed_comparison,
    disclosed_look,
)
from fed_assets.hospital.small_counts import LEAST as LEAST
from fed_assets.hospital.small_counts import SUPPRESSED as SUPPRESSED
from fed_assets.hospital.small_counts import is_told as is_told

# What each kind of figure can be reckoned back to; the area under a curve, to no more than the
# images of each class.
FROM_CLASSES = frozenset({"auroc"})
FROM_CONFUSION = frozenset(
    {"accuracy", "balanced_accuracy", "precision", "sensitivity", "specificity", "f1"}
)
FROM_BINS = frozenset({"expected_calibration_error"})
# Findings that count classes, and not images.
OF_CLASSES = frozenset({"enough_images_per_class", "plausible_class_balance"})
# A finding that counts what is wanting: the images that there are, less its limit.
WANTING = "enough_images"

_NUMBER = re.compile(r"(?<![\w.])[1-9]\d*(?!\w|\.\d)")
_IMAGES = frozenset(
    {"digest", "classes", "channels", "image_size", "synthetic", "images", "counts"}
    | {"unreadable", "unknown_labels", "patients", "copies", "unsettled"}
)
_VALIDATION = frozenset({"digest", "passed", "findings"})
_EVALUATION = frozenset(
    {"images", "classes", "metrics", "roc", "confusion", "calibration", "seconds"}
)


def disclosed(task: str, answer: dict[str, Any], below: int) -> dict[str, Any]:
    """Returns what of a task's answer leaves the hospital.

    Args:
        task: Its name.
        answer: The whole of it.
        below: Counts from 1 on that are less are suppressed; 0 suppresses none.

    Raises:
        DisclosureRefused: There is no rule for this task, or for something in its answer.
    """
    if below == 0:
        return answer
    known, rule = _RULES.get(task, (frozenset(), None))
    if rule is None or not answer.keys() <= known:
        raise DisclosureRefused(
            "An answer holds what no rule of suppression knows, so nothing of it leaves",
            where="control `statistics`",
            seen=", ".join(sorted(answer.keys() - known)) or task[:40],
            cure="Run a sandbox of `statistics: full`, with the hospital's consent",
        )
    return rule(answer, below)


def disclosed_round(
    metrics: Mapping[str, float], confusion: Sequence[Sequence[int]], *, examples: int, below: int
) -> tuple[dict[str, float], list[str]]:
    """Returns which metrics leave with an update, and the names of those that are withheld.

    Args:
        metrics: Of the round, on the validation images.
        confusion: Of the validation images, a row per true class.
        examples: Images that were learned from.
        below: As for `disclosed`.

    Raises:
        DisclosureRefused: So few images were learned from that their number must not be told.
    """
    if examples < below:
        raise DisclosureRefused(
            "The hospital has too few training images to tell their number, by which its update "
            "would be weighted",
            where="control `statistics`",
            cure="Leave the hospital out by the run config `leave_out`, or lower `suppress_below` "
            "with its consent",
        )
    withheld = _withheld(confusion, below) if below else set()
    told = {name: value for name, value in metrics.items() if name not in withheld}
    return told, sorted(withheld & metrics.keys())


def disclosed_error(error: FedAssetsError, below: int) -> FedAssetsError:
    """Returns an error as it leaves: of what was seen in the hospital's data, without numbers."""
    if below == 0 or not isinstance(error, DataError):
        return error
    record = error.as_record()
    return error_from_record(record | {"seen": _NUMBER.sub("…", record["seen"])})


def _withheld(confusion: Sequence[Sequence[int]], below: int) -> set[str]:
    withheld: set[str] = set()
    if not is_told((sum(row) for row in confusion), below):
        withheld |= FROM_CLASSES
    if not is_told((cell for row in confusion for cell in row), below):
        withheld |= FROM_CONFUSION
    return withheld


def _images(answer: dict[str, Any], below: int) -> dict[str, Any]:
    counts: dict[str, dict[str, int]] = answer["counts"]
    splits = [sum(row.values()) for row in counts.values()]
    unreadable, unknown = answer["unreadable"], answer["unknown_labels"]
    patients = answer["patients"]
    # With the sum over the splits, a split that is told nowhere would be the sum less the others.
    whole = is_told([*splits, unknown], below)
    legible = is_told([unreadable, answer["images"] - unreadable], below)
    known = patients is None or (whole and is_told([patients], below))
    return answer | {
        "images": answer["images"] if whole else SUPPRESSED,
        "counts": {
            split: row if is_told(row.values(), below) else dict.fromkeys(row, SUPPRESSED)
            for split, row in counts.items()
        },
        "unreadable": unreadable if legible else SUPPRESSED,
        "unknown_labels": unknown if is_told([unknown], below) else SUPPRESSED,
        **{
            name: answer[name] if is_told([answer[name]], below) else SUPPRESSED
            for name in ("copies", "unsettled")
        },
        # Mostly a patient has one image, and their number is that of the images.
        "patients": patients if known else SUPPRESSED,
    }


def _validation(answer: dict[str, Any], below: int) -> dict[str, Any]:
    return answer | {"findings": [_finding(each, below) for each in answer["findings"]]}


def _finding(finding: dict[str, Any], below: int) -> dict[str, Any]:
    """Returns a finding without how many images it looked at: those of two findings differ by few.

    All that failed are as many as were looked at; a rule on how many there are tells their number.
    """
    if finding["name"] in OF_CLASSES:
        return finding
    count, of = finding["count"], finding["of"]
    told = count == 0 or (finding["name"] != WANTING and min(count, of - count) >= below)
    return finding | {"count": count if told else SUPPRESSED, "of": SUPPRESSED}


def _evaluation(answer: dict[str, Any], below: int) -> dict[str, Any]:
    withheld = _withheld(answer["confusion"], below)
    cells = FROM_CONFUSION.isdisjoint(withheld)
    bins = is_told(_of_bins(answer["calibration"]), below)
    withheld |= set() if bins else FROM_BINS
    return answer | {
        "images": answer["images"] if is_told([answer["images"]], below) else SUPPRESSED,
        "metrics": _without(withheld, answer["metrics"]),
        "roc": SUPPRESSED,  # each of its steps is one image
        "confusion": answer["confusion"] if cells else SUPPRESSED,
        "calibration": answer["calibration"] if bins else SUPPRESSED,
    }


def _without(withheld: Collection[str], metrics: Mapping[str, Any]) -> dict[str, Any]:
    hidden = {"value": None, "low": None, "high": None, SUPPRESSED: True}
    return {name: hidden if name in withheld else metric for name, metric in metrics.items()}


def _comparison(answer: dict[str, Any], below: int) -> dict[str, Any]:
    """Returns differences whose interval gives no count away: on how many images models differ."""
    withheld = {name for each in answer["confusion"].values() for name in _withheld(each, below)}
    withheld |= set() if is_told(answer["agreement"], below) else FROM_CONFUSION
    return answer | {
        "images": answer["images"] if is_told([answer["images"]], below) else SUPPRESSED,
        "differences": _without(withheld, answer["differences"]),
        "confusion": SUPPRESSED,
        "agreement": SUPPRESSED,
    }


def _threshold(answer: dict[str, Any], below: int) -> dict[str, Any]:
    """Returns a threshold without the counts, from which it cannot be told: it is one of a few.

    With one or two images of a class it would say about where the model put these.
    """
    told = min(answer["images"]) >= LEAST
    return {"threshold": answer["threshold"] if told else SUPPRESSED, "images": SUPPRESSED}


def _of_bins(calibration: Iterable[Mapping[str, Any]]) -> Iterable[int]:
    """Yields the counts that bins tell of: images that were named rightly, and wrongly."""
    for each in calibration:
        right = round(each["images"] * (each["accuracy"] or 0.0))
        yield from (right, each["images"] - right)


def _as_it_is(answer: dict[str, Any], below: int) -> dict[str, Any]:
    return answer


_COMPARISON = frozenset({"images", "differences", "confusion", "agreement", "seconds"})
_BUDGET = frozenset({"epsilon", "enough", "noise_multiplier", "untouched_noise_multiplier"})
_Rule = Callable[[dict[str, Any], int], dict[str, Any]]
# A task that is not named here is not answered: such as those that show pictures, and the attack on
# training images, which is for open data alone.
_RULES: dict[str, tuple[frozenset[str], _Rule]] = {
    "prepare_images": (_IMAGES, _images),
    "validate_images": (_VALIDATION, _validation),
    "look_at_source": (LOOK, disclosed_look),
    "compare_images": (COMPARED, disclosed_comparison),
    "evaluate": (_EVALUATION, _evaluation),
    "compare_models": (_COMPARISON, _comparison),
    "choose_threshold": (frozenset({"threshold", "images"}), _threshold),
    # Which part of the training images came into a batch: their number leaves with each update.
    "show_budget": (frozenset({"epsilon", "delta", "rounds"}), _as_it_is),
    "check_budget": (_BUDGET, _as_it_is),
    "initial_weights": (frozenset({"digest", "parameters"}), _as_it_is),
    "package_model": (frozenset({"differences", "images", "checked_on", "sizes"}), _as_it_is),
    "clear_away": (frozenset(), _as_it_is),
    "rotate_key": (frozenset({"files"}), _as_it_is),
    # Of a canary, which is nobody's image.
    "plant_canary": (frozenset({"canary", "container"}), _as_it_is),
    "search_store": (frozenset({"found", "files", "control"}), _as_it_is),
    "tamper": (frozenset({"flipped", "swapped", "foreign", "control"}), _as_it_is),
    "remove_canary": (frozenset(), _as_it_is),
    "knock": (frozenset({"read", "list", "write", "control"}), _as_it_is),
    "use_dead_tokens": (frozenset({*DEAD, "control"}), _as_it_is),
}
