"""The figures of a whole run of the benchmark, and the goals that they are held against."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Goal:
    """What a figure should be at most.

    Attributes:
        figure: Its name in the JSON file.
        at_most: The goal.
        meaning: The figure in words.
    """

    figure: str
    at_most: float
    meaning: str


GOALS = (
    Goal("warm_over_flower", 0.6, "warm / Flower's simulation, seconds"),
    Goal("warm_over_bare", 0.9, "warm / bare loop, seconds"),
    Goal("warm_over_simulator", 0.3, "warm / NVFlare's simulator, seconds"),
    Goal("cold_over_flower", 1.0, "cold / Flower's simulation, seconds"),
    Goal("cpu_over_bare", 1.6, "warm / bare loop, CPU seconds"),
    Goal("warm_over_bare_shipped", 0.85, "warm / bare loop, rounds as shipped"),
    Goal("seconds_per_round_beyond_training", 0.2, "seconds a round beyond training"),
    Goal("dagster_seconds", 5.0, "seconds Dagster adds to the training"),
    Goal("lifecycle_seconds", 80.0, "seconds of `dagster job execute`"),
    Goal("peak_memory_gb", 2.5, "peak GB, training"),
    Goal("peak_memory_gb_11m", 3.5, "peak GB, 11 M, nobody learns"),
    Goal("growth_in_hospitals", 1.1, "exponent of growth over hospitals"),
)


def medians(records: Iterable[Mapping[str, Any]], field: str) -> dict[str, float]:
    """Returns the median of a field by arm, over the runs that were timed."""
    by_arm: dict[str, list[float]] = {}
    for record in records:
        if record["timed"] and record.get(field) is not None:
            by_arm.setdefault(record["arm"], []).append(record[field])
    return {arm: round(statistics.median(values), 3) for arm, values in by_arm.items()}


def ratios(
    records: Sequence[Mapping[str, Any]], *, others: str = "process_seconds"
) -> dict[str, float]:
    """Returns the ratios of medians that goals are set on; one whose arm is missing is left out.

    Ours counts until its result can be read, which is when a run goes on with it.

    Args:
        records: What every arm took.
        others: What the other arms count: `process_seconds`, until their command is over, which is
            when its caller goes on; or `seconds`, until their result could be read by one who knew
            where it lies.
    """
    own, other = medians(records, "seconds"), medians(records, others)
    cpu = medians(records, "cpu_seconds")
    wanted = {
        "warm_over_flower": (own.get("warm"), other.get("flower")),
        "warm_over_bare": (own.get("warm"), other.get("bare")),
        "warm_over_simulator": (own.get("warm"), other.get("simulator")),
        "cold_over_flower": (own.get("cold"), other.get("flower")),
        "cpu_over_bare": (cpu.get("warm"), cpu.get("bare")),
    }
    return {
        name: round(above / below, 3)
        for name, (above, below) in wanted.items()
        if above is not None and below is not None
    }


def period(rounds: Sequence[Mapping[str, Any]]) -> float:
    """Returns the mean seconds from one round's end to the next one's, the first left out."""
    return round((rounds[-1]["at"] - rounds[0]["at"]) / (len(rounds) - 1), 3)


def exponent(sizes: Sequence[float], values: Sequence[float]) -> float:
    """Returns the exponent with which values grow over sizes: the slope of both logarithms.

    >>> exponent([5, 10, 20], [0.5, 1.0, 2.0])
    1.0
    """
    slope, _ = np.polyfit(np.log(sizes), np.log(values), 1)
    return round(float(slope), 3)


def compare(figures: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Returns every goal with its figure and whether it is met; None where it was not measured."""
    rows = []
    for goal in GOALS:
        figure = figures.get(goal.figure)
        met = None if figure is None else figure <= goal.at_most
        rows.append(
            {
                "figure": goal.figure,
                "meaning": goal.meaning,
                "goal": goal.at_most,
                "value": figure,
                "met": met,
            }
        )
    return rows
