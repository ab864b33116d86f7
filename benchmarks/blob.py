"""What a lifecycle costs whose home containers of Azure's storage back, against one on disk alone.

Both run the same small roster with made-up images in new homes, in turn, the first of each for
warming up. The containers are Azurite's, on 127.0.0.1 of the same machine: what a network between
adds is not measured, and Azurite takes processor time of its own, which counts in `azurite`.

    python -m benchmarks.blob [--repeats 3] [--sandbox minimal]

Writes benchmarks/results/blob.json.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil

from benchmarks.measure import run_measured
from benchmarks.record import write_record
from fed_assets.containers.place import write_place
from fed_assets.federation.roster import read_roster
from fed_assets.resources.home import COORDINATOR, Home, StoredOn
from fed_assets_tests.azure_storage import Azurite, missing_azurite, running_azurite

PROJECT = Path(__file__).resolve().parent.parent
ROSTER = PROJECT / "examples" / "three_phantoms.yaml"
RESULTS = PROJECT / "benchmarks" / "results" / "blob.json"
TIMEOUT_SECONDS = 1800.0
KINDS = (StoredOn.DISK, StoredOn.BLOB)
# What lasts of a home on disk; MLflow's tables and Dagster's own lie on disk in either case.
LASTING = ("artifacts", "federations/*/*/outbox", "hospitals", "lineage", "models")


def measure(sandbox: str, repeats: int) -> dict[str, Any]:
    """Returns what each run took, by kind."""
    runs: dict[str, list[dict[str, Any]]] = {kind: [] for kind in KINDS}
    with running_azurite(log_requests=True) as azurite:
        for repeat in range(repeats + 1):
            for kind in KINDS if repeat % 2 else reversed(KINDS):
                taken = once(sandbox, kind, azurite)
                print(f"{repeat if repeat else 'warming up'}, {kind}: {taken}", flush=True)
                if repeat:
                    runs[kind].append(taken)
    return {"runs": runs, "median": {kind: medians(each) for kind, each in runs.items()}}


def once(sandbox: str, kind: StoredOn, azurite: Azurite) -> dict[str, Any]:
    """Returns what one lifecycle in a new home took; ends if it failed."""
    with new_home(kind) as home:
        parties = issue(home, azurite) if kind is StoredOn.BLOB else []
        requests, emulator = azurite.requests(), cpu_seconds(azurite)
        log = home.root / "run.log"
        usage = run_measured(
            [sys.executable, "-m", "fed_assets.cli", "run", sandbox],
            environment=os.environ
            | {
                "FED_ASSETS_HOME": str(home.root),
                "FED_ASSETS_STORAGE": str(kind),
                "FED_ASSETS_ROSTER": str(ROSTER),
                "DAGSTER_HOME": str(home.instance),
            },
            folder=PROJECT,
            log=log,
            timeout_seconds=TIMEOUT_SECONDS,
        )
        if usage.exit_code != 0:
            sys.exit(log.read_text()[-3000:])
        taken = {
            "seconds": round(usage.seconds, 1),
            "cpu_seconds": round(usage.cpu_seconds, 1),
            "load_before": usage.load_before,
        }
        if kind is StoredOn.DISK:
            files = [path for each in LASTING for path in home.root.glob(f"{each}/**/*")]
            sizes = [path.stat().st_size for path in files if path.is_file()]
            return {**taken, "files": len(sizes), "bytes": sum(sizes)}
        sizes = [size for party in parties for size in azurite.sizes(party)]
        return {
            **taken,
            "files": len(sizes),
            "bytes": sum(sizes),
            "requests": azurite.requests() - requests,
            "azurite_cpu_seconds": round(cpu_seconds(azurite) - emulator, 1),
        }


@contextmanager
def new_home(kind: StoredOn) -> Iterator[Home]:
    with tempfile.TemporaryDirectory(dir=PROJECT, prefix=".bench-") as folder:
        yield Home(Path(folder) / "home", kind).prepare()


def issue(home: Home, azurite: Azurite) -> list[str]:
    """Gives every party of a home a new container; returns what they are called there."""
    named = []
    for party in (COORDINATOR, *read_roster(ROSTER).hospital_ids):
        named.append(azurite.party())
        write_place(home.container(party), azurite.issue(named[-1]).own)
    return named


def cpu_seconds(azurite: Azurite) -> float:
    times = psutil.Process(azurite.pid).cpu_times()
    return times.user + times.system


def medians(runs: list[dict[str, Any]]) -> dict[str, float]:
    return {name: statistics.median(run[name] for run in runs) for name in runs[0]}


def ratio(record: dict[str, Any], name: str) -> str:
    """Returns blob's figure over disk's, run by run: the median, the least and the most."""
    pairs = zip(*(record["runs"][kind] for kind in KINDS), strict=True)
    each = sorted(blob[name] / disk[name] for disk, blob in pairs)
    return f"{statistics.median(each):.2f} ({each[0]:.2f} to {each[-1]:.2f})"


def table(record: dict[str, Any]) -> str:
    """Returns the figures as a table for the README."""
    disk, blob = (record["median"][kind] for kind in KINDS)
    lines = [
        "|  | disk | blob | blob over disk, pair by pair |",
        "|---|---|---|---|",
        f"| seconds | {disk['seconds']:.0f} | {blob['seconds']:.0f} | {ratio(record, 'seconds')} |",
        f"| processor seconds | {disk['cpu_seconds']:.0f} | {blob['cpu_seconds']:.0f} | "
        f"{ratio(record, 'cpu_seconds')} |",
        f"| files that last | {disk['files']:.0f} | {blob['files']:.0f} | "
        f"{ratio(record, 'files')} |",
        f"| MB of them | {disk['bytes'] / 1e6:.2f} | {blob['bytes'] / 1e6:.2f} | "
        f"{ratio(record, 'bytes')} |",
        f"| requests | 0 | {blob['requests']:.0f} | |",
    ]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--sandbox", default="minimal")
    parser.add_argument("--output", type=Path, default=RESULTS)
    options = parser.parse_args()
    if reason := missing_azurite():
        sys.exit(reason)
    record = {
        "what": f"fed-assets run {options.sandbox} of {ROSTER.name}, on disk and on blob in turn",
        "repeats": options.repeats,
        **measure(options.sandbox, options.repeats),
    }
    write_record(options.output, record, ("adlfs", "azure-storage-blob", "dagster-azure"))
    print(table(record))


if __name__ == "__main__":
    main()
