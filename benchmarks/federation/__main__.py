"""The whole benchmark of the federation: a table, a picture and `results/federation.json`.

    python -m benchmarks.federation [--quick]

Bare loop, Flower's simulation, NVFlare's simulator and our federation do the same work in turns,
each in processes of its own, with one thread a process and the same allocator; then come 15 rounds
as shipped, rounds in which nobody learns, by number of hospitals and size of the model, and a whole
`dagster job execute`. A goal that is missed is a result like any other; work that failed, or that
was not the same in every arm, is not, and ends with code 1.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.federation.arms import Bench
from benchmarks.federation.goals import compare
from benchmarks.federation.here import machine, versions
from benchmarks.federation.parts import QUICK, WHOLE, all_parts
from benchmarks.federation.picture import draw_scaling
from benchmarks.federation.show import show
from benchmarks.quality import PROJECT

ARMS = ("bare", "flower", "simulator", "ours")


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    data = os.environ.get("FED_ASSETS_DATA") or PROJECT.parent / "shared" / "data"
    parser.add_argument("--data", type=Path, default=Path(data), help="pneumoniamnist.npz's folder")
    parser.add_argument("--repeats", type=int, default=3, help="timed runs of every arm")
    parser.add_argument("--arms", nargs="+", choices=ARMS, default=ARMS, metavar="ARM")
    flower = PROJECT / ".venv-bench" / "bin" / "python"
    parser.add_argument("--flower-python", type=Path, default=flower, help="has flwr")
    parser.add_argument("--quick", action="store_true", help="a smoke test without goals")
    parser.add_argument("--output", type=Path, help="where the figures go, if not to results/")
    parser.add_argument("--picture", type=Path, help="where the picture goes, if not to docs/")
    chosen = parser.parse_args()
    if not chosen.quick:
        chosen.output = chosen.output or PROJECT / "benchmarks" / "results" / "federation.json"
        chosen.picture = chosen.picture or PROJECT / "docs" / "scaling.png"
    if "flower" in chosen.arms and not chosen.flower_python.is_file():
        parser.error(f"{chosen.flower_python} is missing: `make bench` installs it")
    return chosen


def main() -> None:
    chosen = options()
    begun = datetime.datetime.now(datetime.UTC)
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        bench = Bench(Path(folder), chosen.arms, chosen.flower_python)
        parts = QUICK if chosen.quick else WHOLE
        figures, raw = all_parts(bench, parts, chosen.data, chosen.repeats)
    ended = datetime.datetime.now(datetime.UTC)
    record: dict[str, Any] = {
        **figures,
        "goals": [] if chosen.quick else compare(figures),
        "quick": chosen.quick,
        "command": " ".join(["python -m benchmarks.federation", *sys.argv[1:]]),
        "created": begun.isoformat(timespec="seconds"),
        "seconds": round((ended - begun).total_seconds()),
        "machine": machine(),
        "versions": versions(chosen.flower_python if "flower" in chosen.arms else None),
        **raw,
    }
    show(record)
    write(chosen.output, (json.dumps(record, indent=1) + "\n").encode())
    write(chosen.picture, draw_scaling(record["scaling"]).content)
    if record["faults"]:
        sys.exit("\n".join(record["faults"]))


def write(path: Path | None, content: bytes) -> None:
    """Writes a file that is asked for, and names it."""
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        print(path)


if __name__ == "__main__":
    main()
