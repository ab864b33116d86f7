"""What the soak says: a line per lifecycle, and a table of what they come to."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.table import Table

OUTCOMES = {0: "succeeded", 1: "failed", 3: "degraded"}
# A figure's words, by how much of its unit one shows, and the unit.
GROWTH = {
    "warm_own_memory_bytes_per_job": ("a warm federation's memory, per job", 1e6, " MB"),
    "warm_descriptors_per_job": ("its descriptors, per job", 1, ""),
    "warm_threads_per_job": ("its threads, per job", 1, ""),
    "home_bytes_per_run": ("the home, per lifecycle", 1e6, " MB"),
}


def line(record: Mapping[str, Any]) -> str:
    """Returns a lifecycle in words: its number, whom it lost, how it ended, how long it took."""
    again = record.get("again")
    killed = record["kill"] and f"{record['kill']} {'killed' if record['killed'] else 'outrun'}"
    parts = [
        f"{record['run']:>2} {'warm' if record['warm'] else 'cold'} {record['sandbox']}",
        killed or "nobody killed",
        _ended(record),
        _went_on(again) if again else "",
        f"{record['seconds'] + (again['seconds'] if again else 0):.0f} s",
    ]
    return " · ".join(part for part in parts if part)


def _ended(record: Mapping[str, Any]) -> str:
    outcome = OUTCOMES.get(record["code"], f"ended with {record['code']}")
    said = record["said"].partition(". ")[0]
    for known in (f"{record['sandbox']}: ", f"{outcome}: "):
        said = said.removeprefix(known)
    return f"{outcome}: {said}" if said else outcome


def _went_on(again: Mapping[str, Any]) -> str:
    outcome = OUTCOMES.get(again["code"], f"ended with {again['code']}")
    resumed = again.get("resumed_from")
    return f"{again['job']} {outcome}" + (f" from round {resumed['round'] + 1}" if resumed else "")


def table(result: Mapping[str, Any]) -> Table:
    """Returns what a soak came to, beside the bounds."""
    made = Table("what", title="The soak", title_justify="left")
    made.add_column("measured", justify="right")
    made.add_column("at most", justify="right")
    for outcome, count in result["outcomes"].items():
        made.add_row(f"lifecycles {outcome}", str(count), "")
    made.add_row("processes killed", str(result["kills"]), "")
    bounds = result["bounds"]
    seconds = result["slowest_clean_seconds"]
    made.add_row("until nothing was left", f"{seconds:g} s", f"{bounds['clean_after_seconds']:g} s")
    for name, (words, per, unit) in GROWTH.items():
        if name in result:
            bound = f"{bounds[name] / per:g}{unit}"
            made.add_row(f"growth of {words}", f"{result[name] / per:.2f}{unit}", bound)
    return made
