"""Every way in which a federation was less than its roster, and the words to say so."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from fed_assets.reporting.formats import ranges


def shortfalls_of(
    rounds: Sequence[Mapping[str, Any]],
    *,
    excluded: Mapping[str, str],
    missed: Iterable[str],
    not_evaluated: Iterable[str],
) -> list[dict[str, Any]]:
    """Returns what was less than the roster; where there is anything, no run is plain success.

    Each has `kind` (no_rounds, excluded, missed_rounds or not_evaluated), `hospital`, the numbers
    of the `rounds` it concerns, the `reason` that was recorded, and what is `said` of it. There are
    several for a hospital that missed rounds for several reasons.

    Args:
        rounds: The finished rounds' records.
        excluded: Why a hospital was left out before training and not on purpose, by hospital.
        missed: The hospitals that missed a round, in the order to name them in.
        not_evaluated: Those that took part, and have no evaluation.
    """
    found = [] if rounds else [_shortfall("no_rounds", None, "no round was finished")]
    found += [_shortfall("excluded", hospital, excluded[hospital]) for hospital in excluded]
    for hospital in missed:
        numbers: dict[str, list[int]] = {}
        for record in rounds:
            if hospital in record["missing"]:
                reason = str(record["missing"][hospital])
                numbers.setdefault(reason, []).append(record["round_number"])
        found += [_shortfall("missed_rounds", hospital, why, numbers[why]) for why in numbers]
    found += [
        _shortfall("not_evaluated", hospital, "no evaluation came back")
        for hospital in not_evaluated
    ]
    return found


def _shortfall(
    kind: str, hospital: str | None, reason: str, rounds: Sequence[int] = ()
) -> dict[str, Any]:
    entry = {"kind": kind, "hospital": hospital, "reason": reason, "rounds": list(rounds)}
    return {**entry, "said": say_shortfall(entry)}


def say_shortfall(shortfall: Mapping[str, Any], names: Mapping[str, str] | None = None) -> str:
    """Returns a shortfall as a sentence without its full stop; `names` are put for the ids.

    >>> missed = {"kind": "missed_rounds", "rounds": [2, 3, 7], "reason": "it did not answer."}
    >>> say_shortfall({**missed, "hospital": "hospital_03"})
    'hospital_03 was missing in rounds 2-3, 7: it did not answer'
    """
    hospital = (names or {}).get(shortfall["hospital"], shortfall["hospital"])
    reason = shortfall["reason"].rstrip(".")
    if shortfall["kind"] == "no_rounds":
        return "No round was finished"
    if shortfall["kind"] == "excluded":
        return f"{hospital} was left out before training: {reason}"
    if shortfall["kind"] == "missed_rounds":
        return f"{hospital} was missing in {_rounds(shortfall['rounds'])}: {reason}"
    return f"{hospital} took part, but its evaluation is missing: {reason}"


def missing_tag(shortfalls: Iterable[Mapping[str, Any]]) -> str:
    """Returns who was missing when, in one line without the reasons.

    >>> missed = {"kind": "missed_rounds", "hospital": "hospital_03"}
    >>> missing_tag([{**missed, "rounds": [2, 3]}, {**missed, "rounds": [5]}])
    'hospital_03: rounds 2-3, 5'
    """
    missed: dict[str, list[int]] = {}
    others = []
    for each in shortfalls:
        if each["kind"] == "missed_rounds":
            missed.setdefault(each["hospital"], []).extend(each["rounds"])
        elif each["kind"] == "excluded":
            others.append(f"{each['hospital']}: left out before training")
        elif each["kind"] == "not_evaluated":
            others.append(f"{each['hospital']}: not evaluated")
    rounds = [f"{hospital}: {_rounds(sorted(numbers))}" for hospital, numbers in missed.items()]
    return "; ".join(others + rounds)


def _rounds(numbers: list[int]) -> str:
    return f"{'round' if len(numbers) == 1 else 'rounds'} {ranges(numbers)}"
