"""Lifecycles in a row in one home, with random kills in half of them: what leaks, what goes wrong.

    python -m benchmarks.soak [--runs 20] [--seed 0]

Four small hospitals run `minimal` and `eyes_on` in turn; the second half of the runs goes to warm
federations. In half of the runs one process, drawn with the moment by the seed, is ended with
`kill -9`; a run that fails by it is gone on with by `retrain`. After each run nothing of it may be
left, and its rounds have to be those of a run that nobody disturbed, bit for bit, up to the loss of
a hospital. At the end one warm federation carries out many jobs, which tells a leak from what
allocators take once. Ends with 1 where anything is left, leaks or is wrong; writes
benchmarks/results/soak.json.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import signal
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.leaks import BOUNDS, HOME_BOUND_BYTES, leaks, many_jobs
from benchmarks.lifecycles import CLEAN_SECONDS, Lifecycles
from benchmarks.victims import Kill, draw_kills
from fed_assets.federation import warm
from fed_assets_tests.places import make_place

RESULT = Path(__file__).parent / "results" / "soak.json"
SANDBOXES = ("minimal", "eyes_on")
HOSPITALS = ("north", "east", "south", "west")
QUORUM, ROUNDS = 3, 10
OUTCOMES = {0: "succeeded", 1: "failed", 3: "degraded"}


def main() -> int:
    """Returns 0 where nothing is left, leaks or is wrong."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--runs", type=int, default=20, help="an even number, at least 8")
    options.add_argument("--seed", type=int, default=0)
    chosen = options.parse_args()
    if chosen.runs < 8 or chosen.runs % 2:
        options.error("--runs must be an even number, at least 8")
    for polite_end in (signal.SIGTERM, signal.SIGINT):
        signal.signal(polite_end, signal.default_int_handler)  # warm federations must not stay up
    began, load, console = time.monotonic(), os.getloadavg()[0], Console()
    with tempfile.TemporaryDirectory(dir=Path.cwd(), prefix=".bench-") as folder:
        records, held, left = soak(Path(folder), chosen.runs, chosen.seed, console)
    figures, found = leaks(held)
    growth = (records[-1]["home_bytes"] - records[0]["home_bytes"]) / (chosen.runs - 1)
    figures["home_bytes_per_run"] = round(growth)
    if growth > HOME_BOUND_BYTES:
        found.append(f"the home grows by {growth / 1e6:.1f} MB per run")
    wrong = [f"run {record['run']}: {line}" for record in records for line in complaints(record)]
    wrong += [*(f"at the end: {line}" for line in left), *found]
    result = {
        "wrong": wrong,
        "outcomes": {
            word: sum(record["code"] == code for record in records)
            for code, word in OUTCOMES.items()
        },
        "kills": sum(record["killed"] is not None for record in records),
        "slowest_clean_seconds": max(each["clean_after_seconds"] for each in records),
        **figures,
        "bounds": {
            **{f"warm_{name}_per_job": bound for name, bound in BOUNDS.items()},
            "home_bytes_per_run": HOME_BOUND_BYTES,
            "clean_after_seconds": CLEAN_SECONDS,
        },
        "seconds": round(time.monotonic() - began),
        "seed": chosen.seed,
        "hospitals": len(HOSPITALS),
        "quorum": QUORUM,
        "rounds": ROUNDS,
        "runs": records,
        "warm_jobs": held,
        "machine": {"system": platform.platform(), "cores": os.cpu_count()},
        "load_before": round(load, 2),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    RESULT.parent.mkdir(exist_ok=True)
    RESULT.write_text(json.dumps(result, indent=1) + "\n")
    show(records, figures, console)
    for line in wrong:
        console.print(line, style="red", markup=False)
    return 1 if wrong else 0


def soak(
    folder: Path, runs: int, seed: int, console: Console
) -> tuple[list[dict[str, Any]], list[dict[str, int]], list[str]]:
    """Returns a record per run, what a warm federation holds after each job, and what is left."""
    temporary = folder / "temporary"
    temporary.mkdir()
    place = make_place(
        folder / "place",
        hospitals=[{"id": name, "name": name} for name in HOSPITALS],
        quorum=QUORUM,
        rounds=ROUNDS,
    )
    place.environment["TMPDIR"] = str(temporary)
    lifecycles = Lifecycles(place, SANDBOXES, temporary)
    kills = draw_schedule(runs, random.Random(seed))
    records = []
    try:
        for number in range(1, runs + 1):
            sandbox = SANDBOXES[(number - 1) % len(SANDBOXES)]
            with console.status(f"run {number} of {runs}"):
                record = lifecycles.run(sandbox, kills.get(number), warmed=number > runs // 2)
            records.append({"run": number, **record})
            for line in (" · ".join(filter(None, row(records[-1])[:5])), *complaints(record)):
                console.print(line, markup=False, highlight=False, soft_wrap=True)
    finally:
        for sandbox in SANDBOXES:
            warm.take_down(place.home.warm(sandbox))
    _, left = lifecycles.left()
    with console.status("many jobs on one warm federation"):
        held = many_jobs(place.home, SANDBOXES[-1])
    return records, held, left


def draw_schedule(runs: int, draw: random.Random) -> Mapping[int, Kill]:
    """Returns which runs are disturbed, half of them, and how.

    The first of each sandbox in either half are not: the others have to come to what they did.
    """
    half = runs // 2
    disturbed = [
        number
        for first in (1, 1 + half)
        for number in draw.sample(range(first + len(SANDBOXES), first + half), half // 2)
    ]
    return dict(zip(disturbed, draw_kills(len(disturbed), HOSPITALS, draw), strict=True))


def complaints(record: Mapping[str, Any]) -> list[str]:
    """Returns what is left of a run or wrong with it, and with the one that went on from it."""
    return [
        line
        for each in (record, record.get("again"))
        if each is not None
        for line in (*each["left"], *each["wrong"])
    ]


def row(record: Mapping[str, Any]) -> list[str]:
    """Returns a run in words."""
    outcome = OUTCOMES.get(record["code"], f"ended with {record['code']}")
    said = record["said"].partition(". ")[0]
    for known in (f"{record['sandbox']}: ", f"{outcome}: "):
        said = said.removeprefix(known)
    again, held = record.get("again"), record["warm_federation"]
    resumed = again and again.get("resumed_from")
    return [
        f"{record['run']}{' warm' if record['warm'] else ''}",
        record["sandbox"],
        (record["killed"] or f"{record['kill']} (too late)") if record["kill"] else "",
        f"{outcome}: {said}" if said else outcome,
        f"{again['job']} {OUTCOMES.get(again['code'], '?')}"
        + (f", from round {resumed['round'] + 1}" if resumed else "")
        if again
        else "",
        f"{record['seconds']:.0f} s",
        f"{record['clean_after_seconds']:.1f} s",
        f"{held['own_memory_bytes'] / 1e6:.0f} MB" if held else "",
    ]


def show(
    records: Sequence[Mapping[str, Any]], figures: Mapping[str, Any], console: Console
) -> None:
    """Prints a row per run, and what grows."""
    table = Table(title="The soak", title_justify="left")
    headings = ("run", "sandbox", "killed", "outcome", "then", "took", "clean after", "warm")
    for heading in headings:
        table.add_column(heading, overflow="fold")
    for record in records:
        style = "red" if complaints(record) else None
        table.add_row(*row(record), style=style)
    console.print(table)
    for name, value in figures.items():
        console.print(f"{name}: {value:,}")


if __name__ == "__main__":
    sys.exit(main())
