"""Lifecycles in a row in one home, with random kills in half of them: what leaks, what goes wrong.

    python -m benchmarks.soak [--runs 20] [--cold 10] [--jobs 20] [--seed 0] [--output FILE]

Four small hospitals run `minimal` and `eyes_on` in turn; the second half of the runs goes to warm
federations. In half of the runs one process, drawn with the moment by the seed, is ended with
`kill -9`; a run that fails by it is gone on with by `retrain`. After each run nothing of it may be
left, and its rounds have to be those of a run that nobody disturbed, bit for bit, up to the loss of
a hospital. At the end one warm federation carries out many jobs, which tells a leak from what
allocators take once. Ends with 1 where anything is left, leaks or is wrong, and keeps the log of
what was printed beside the result, benchmarks/results/soak.json. Interrupted, it ends all that it
has started, and writes nothing.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.console import Console

from benchmarks.endings import end_all
from benchmarks.leaks import BOUNDS, HOME_BOUND_BYTES, WARMING_UP, leaks, many_jobs
from benchmarks.lifecycles import CLEAN_SECONDS, Lifecycles
from benchmarks.telling import OUTCOMES, line, table
from benchmarks.verdicts import complaints
from benchmarks.victims import Kill, draw_kills
from fed_assets.federation import warm
from fed_assets.federation.session import Interrupted, stopped_by_signals
from fed_assets_tests.places import make_place

RESULT = Path(__file__).parent / "results" / "soak.json"
SANDBOXES = ("minimal", "eyes_on")
HOSPITALS = ("north", "east", "south", "west")
QUORUM, ROUNDS = 3, 10


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=20, help="lifecycles, at least 2")
    parser.add_argument("--cold", type=int, help="those before the warm ones; half, if left out")
    parser.add_argument("--jobs", type=int, default=20, help="in which a leak is looked for, or 0")
    parser.add_argument("--seed", type=int, default=0, help="of the kills")
    parser.add_argument("--output", type=Path, default=RESULT, help="where the figures go")
    chosen = parser.parse_args()
    if chosen.cold is None:
        chosen.cold = chosen.runs // 2
    if chosen.runs < len(SANDBOXES) or not 0 <= chosen.cold <= chosen.runs:
        parser.error("--runs must be at least 2, and --cold no more than that")
    if 0 < chosen.jobs < 2 * WARMING_UP:  # a slope over a few jobs says nothing
        parser.error(f"--jobs must be 0, or at least {2 * WARMING_UP}")
    return chosen


def main() -> int:
    """Returns 0 where nothing is left, leaks or is wrong; 130 or 143 after a signal."""
    chosen, console = options(), Console()
    kept = chosen.output.absolute().with_suffix(".log")
    kept.unlink(missing_ok=True)
    try:
        with (
            stopped_by_signals(),
            tempfile.TemporaryDirectory(dir=Path.cwd(), prefix=".bench-") as folder,
        ):
            log = Path(folder) / "soak.log"
            try:
                wrong = measure(Path(folder), log, chosen, console)
            except Exception as error:
                with log.open("a") as file:
                    traceback.print_exc(file=file)
                said = str(error).partition("\n")[0]
                wrong = [f"The soak broke off, without a result: {type(error).__name__}: {said}"]
            if wrong:
                shutil.copy(log, kept)
    except Interrupted as stopped:
        told = f"The soak was stopped by {stopped}: nothing of it is left, no result is written."
        print(told, file=sys.stderr)
        return 128 + signal.Signals[str(stopped)]
    if wrong:
        told = "\n".join((*wrong, f"The log is {kept}"))
        console.print(told, style="red", markup=False, highlight=False, soft_wrap=True)
    return 1 if wrong else 0


def measure(folder: Path, log: Path, chosen: argparse.Namespace, console: Console) -> list[str]:
    """Writes the result and returns what is wrong."""
    began, load = time.monotonic(), os.getloadavg()[0]
    records, held, left = soak(folder, log, chosen, console)
    figures, found = leaks(held) if held else ({}, [])
    growth = (records[-1]["home_bytes"] - records[0]["home_bytes"]) / (chosen.runs - 1)
    figures["home_bytes_per_run"] = round(growth)
    if growth > HOME_BOUND_BYTES:
        found.append(f"the home grows by {growth / 1e6:.1f} MB per run")
    wrong = [f"run {each['run']}: {said}" for each in records for said in complaints(each)]
    wrong += [*(f"at the end: {said}" for said in left), *found]
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
    console.print(table(result))
    whole = folder / "soak.json"
    whole.write_text(json.dumps(result, indent=1) + "\n")
    shutil.move(whole, chosen.output)
    return wrong


def soak(
    folder: Path, log: Path, chosen: argparse.Namespace, console: Console
) -> tuple[list[dict[str, Any]], list[dict[str, int]], list[str]]:
    """Returns a record per run, what a warm federation holds after each job, and what is left.

    Whatever happens, nothing that was started runs on.
    """
    temporary = folder / "temporary"
    temporary.mkdir()
    place = make_place(
        folder / "place",
        hospitals=[{"id": name, "name": name} for name in HOSPITALS],
        quorum=QUORUM,
        rounds=ROUNDS,
    )
    place.environment["TMPDIR"] = str(temporary)
    lifecycles = Lifecycles(place, SANDBOXES, temporary, log)
    kills = draw_schedule(chosen.runs, chosen.cold, random.Random(chosen.seed))
    records: list[dict[str, Any]] = []
    held: list[dict[str, int]] = []
    try:
        for number in range(1, chosen.runs + 1):
            sandbox = SANDBOXES[(number - 1) % len(SANDBOXES)]
            with console.status(f"lifecycle {number} of {chosen.runs}"):
                record = lifecycles.run(sandbox, kills.get(number), warmed=number > chosen.cold)
            records.append({"run": number, **record})
            for said in (line(records[-1]), *(f"   {each}" for each in complaints(record))):
                console.print(said, markup=False, highlight=False, soft_wrap=True)
        for sandbox in SANDBOXES:
            warm.take_down(place.home.warm(sandbox))
        _, left = lifecycles.left()
        if chosen.jobs:
            with console.status(f"{chosen.jobs} jobs on one warm federation"):
                held = many_jobs(place.home, SANDBOXES[-1], chosen.jobs)
    finally:
        end_all(place.home, SANDBOXES)
    return records, held, left


def draw_schedule(runs: int, cold: int, draw: random.Random) -> Mapping[int, Kill]:
    """Returns which runs are disturbed, half of them, and how.

    Never the first of each sandbox, since the others have to come to what they did; nor the first
    warm ones, where enough others are left.
    """
    calm = len(SANDBOXES)
    early = range(1 + calm, cold + 1)
    disturbed = draw.sample(early, min(cold // 2, len(early)))
    late = range(1 + max(cold, calm), runs + 1)
    count = min(runs // 2 - len(disturbed), len(late))
    disturbed += draw.sample(late[min(calm, len(late) - count) :], count)
    return dict(zip(disturbed, draw_kills(len(disturbed), HOSPITALS, draw), strict=True))


if __name__ == "__main__":
    sys.exit(main())
