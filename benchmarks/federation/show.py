"""The tables that `make bench` prints."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.federation.picture import name_of

WORDS = {True: "met", False: "MISSED", None: "not measured"}
ARMS = {
    "bare": "bare loop",
    "flower": "Flower's simulation",
    "simulator": "NVFlare's simulator",
    "cold": "ours, cold, mTLS",
    "warm": "ours, warm, mTLS",
}


def show(record: Mapping[str, Any]) -> None:
    """Prints the goals, the arms and the scaling."""
    console = Console()
    goals = _table("Goals", "figure", "what it is", "goal", "value", "", "until readable")
    readable = record["until_readable"]
    for row in record["goals"]:
        value = "" if row["value"] is None else f"{row['value']:.2f}"
        goals.add_row(
            row["figure"],
            row["meaning"],
            f"≤ {row['goal']:g}",
            value,
            WORDS[row["met"]],
            _number(readable.get(row["figure"])),
        )
    console.print(goals)
    arms = _table("Medians of the timed runs", "arm", "seconds", "CPU seconds", "until its end")
    medians = record["medians"]
    for arm, name in ARMS.items():
        if arm in medians["seconds"]:
            fields = ("seconds", "cpu_seconds", "process_seconds")
            arms.add_row(name, *(_number(medians[field].get(arm)) for field in fields))
    console.print(arms)
    scaling = _table(
        "A round in which nobody learns", "parameters", "hospitals", "s", "MB", "peak GB"
    )
    for row in sorted(record["scaling"], key=lambda row: (row["parameters"], row["hospitals"])):
        fields = ("seconds_per_round", "megabytes_per_round", "peak_memory_gb")
        values = [_number(row.get(field)) for field in fields]
        scaling.add_row(name_of(row["parameters"]), str(row["hospitals"]), *values)
    console.print(scaling)


def _table(title: str, *columns: str) -> Table:
    table = Table(title=title)
    for column in columns:
        words = column in ("figure", "arm", "parameters", "")
        table.add_column(column, justify="left" if words else "right")
    return table


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"
