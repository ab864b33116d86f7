"""The parts of the benchmark, one after another, and the figures that they come to."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from benchmarks.federation.arms import Bench, run_arm, run_ours, take_turns
from benchmarks.federation.goals import medians, ratios
from benchmarks.federation.judging import judge
from benchmarks.federation.preparation import prepare, shipped_roster, small_roster
from benchmarks.federation.scaling import Sizes, growth, scale, train_largest
from benchmarks.federation.work import Work
from benchmarks.lifecycle import measure
from fed_assets.resources.home import Home

SANDBOX = "minimal"


@dataclass(frozen=True)
class Parts:
    """How much of the benchmark is run.

    Attributes:
        rounds: Of the work that the arms share.
        hospitals: How many of the ten take part.
        shipped: Whether to run 15 rounds as shipped, and a whole `dagster job execute`.
        sizes: What is scaled.
    """

    rounds: int
    hospitals: int
    shipped: bool
    sizes: Sizes


WHOLE = Parts(rounds=5, hospitals=10, shipped=True, sizes=Sizes())
QUICK = Parts(
    rounds=2,
    hospitals=3,
    shipped=False,
    sizes=Sizes(hospitals=(2, 4), networks=Sizes.networks[:1], rounds=3),
)


def all_parts(
    bench: Bench, parts: Parts, data: Path, repeats: int
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Returns the figures that have goals, and all else that was measured."""
    tell("preparing images")
    work = prepare(small_roster(parts.rounds), data, bench.new_folder("images"))
    work = replace(work, stores=dict(list(work.stores.items())[: parts.hospitals]))
    runs, faults = compare_arms(bench, work, repeats)
    scaling = scale(bench, work, parts.sizes, tell)
    raw = {
        "runs": runs,
        "until_readable": ratios(runs, others="seconds"),
        "medians": {name: medians(runs, name) for name in MEDIANS},
    }
    figures = {**ratios(runs), "peak_memory_gb": peak_memory_gb(runs), **of_scaling(scaling)}
    if parts.shipped:
        shipped, more = compare_shipped(bench, data)
        faults += more
        tell("one round of training with the largest network")
        largest = train_largest(bench, work, parts.sizes.networks[-1])
        tell(f"dagster job execute of {SANDBOX}")
        lifecycle = measure(Home(bench.new_folder("home")).prepare(), SANDBOX, data=data)
        bare, warm = shipped
        figures |= {
            "warm_over_bare_shipped": round(warm["seconds"] / bare["process_seconds"], 3),
            "dagster_seconds": lifecycle["dagster_seconds"],
            "lifecycle_seconds": lifecycle["seconds"],
        }
        readable = round(warm["seconds"] / bare["seconds"], 3)
        raw["until_readable"]["warm_over_bare_shipped"] = readable
        raw |= {"shipped": shipped, "largest_training": largest, "lifecycle": lifecycle}
    raw |= {
        "scaling": scaling,
        "growth": {field: growth(scaling, field) for field in GROWING},
        "faults": faults,
    }
    return figures, raw


MEDIANS = ("seconds", "process_seconds", "cpu_seconds")
GROWING = ("seconds_per_round", "megabytes_per_round", "peak_memory_gb")


def compare_arms(bench: Bench, work: Work, repeats: int) -> tuple[list[dict[str, Any]], list[str]]:
    """Returns what every arm took and made of the same work, and what was wrong with it."""
    file = bench.folder / "work.json"
    work.write(file)
    return judged(work, list(take_turns(bench, file, repeats=repeats, tell=tell)))


def compare_shipped(bench: Bench, data: Path) -> tuple[list[dict[str, Any]], list[str]]:
    """Returns what 15 rounds as shipped take, bare and in a warm federation, and what was wrong."""
    folder = bench.new_folder("shipped")
    work = prepare(shipped_roster(), data, folder)
    work.write(folder / "work.json")
    replace(work, rounds=1).write(folder / "one_round.json")
    tell(f"{work.rounds} rounds as shipped, bare")
    bare = run_arm(bench, "bare", folder / "work.json", "shipped-bare")
    tell(f"{work.rounds} rounds as shipped, warm")
    first = folder / "one_round.json"
    ours = run_ours(bench, "ours", folder / "work.json", "shipped-ours", warm_up=first)
    return judged(work, [*bare, ours[-1]])


def judged(
    work: Work, records: Sequence[Mapping[str, Any]]
) -> tuple[list[dict[str, Any]], list[str]]:
    """Returns the records, held against the first of the bare loop, and what is wrong with them."""
    (reference, *_) = [record for record in records if record["arm"] == "bare"]
    found, faults = [], []
    for record in records:
        verdict = judge(work, record["weights"], reference["weights"])
        same_digest = record["digest"] == reference["digest"]
        kept = {name: value for name, value in record.items() if name != "weights"}
        found.append({**kept, **verdict, "same_digest": same_digest})
        if not verdict["same_work"]:
            faults.append(f"{record['run']} did other work than the bare loop: {verdict}")
        if record.get("left_behind") and record["arm"] in ("bare", "cold"):
            faults.append(f"{record['run']} left processes behind: {record['left_behind']}")
    return found, faults


def peak_memory_gb(records: Sequence[Mapping[str, Any]]) -> float | None:
    """Returns the most memory that our federation took."""
    seen = [record.get("peak_memory_gb") for record in records if record["arm"] == "cold"]
    return max((peak for peak in seen if peak is not None), default=None)


def of_scaling(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Returns the figures of ten hospitals, and the steepest growth over hospitals."""
    ten = {row["parameters"]: row for row in rows if row["hospitals"] == 10}
    exponents = growth(rows, "seconds_per_round").values()
    figures: dict[str, Any] = {"growth_in_hospitals": max(exponents, default=None)}
    if ten:
        figures["seconds_per_round_beyond_training"] = ten[min(ten)]["seconds_per_round"]
        figures["peak_memory_gb_11m"] = ten[max(ten)].get("peak_memory_gb")
    return figures


def tell(what: str) -> None:
    """Says what is being done."""
    print(f"... {what}", file=sys.stderr, flush=True)
