"""What preparing and validating one hospital's images costs, in seconds and memory.

A real worker process takes in synthetic images of 224 x 224 pixels, 1,000, 10,000 and 100,000 of
them, and validates them. Seconds include drawing the images, most of the time, and validation's
include importing Great Expectations; peak memory is that of the whole process since its start,
Python and libraries included.

    python benchmarks/images.py --sizes 1000 10000 100000 --home FOLDER_WITH_6_GB_FREE
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.record import write_record
from fed_assets.federation.spawned import Spawned
from fed_assets.resources.worker_process import WorkerProcess

PROJECT = Path(__file__).resolve().parent.parent
SIDE = 224
PEAK_MEMORY_TARGET_BYTES = int(1.5e9)
HOSPITAL = "hospital_01"
KEPT = {"storage": "plain", "key_custody": "none", "suppress_below": 0}


def measure(images: int, home: Path) -> dict[str, Any]:
    """Prepares and validates `images` images in a process of their own, under `home`."""
    with tempfile.TemporaryDirectory(prefix="images-", dir=home) as folder:
        store = Path(folder) / HOSPITAL
        identity = {
            "hospitals": {HOSPITAL: {"store": str(store), **KEPT}},
            "previews": False,
        }
        source = {"kind": "phantom", "images": images, "test_images": 0, "size": SIDE}
        origin = Spawned()  # a fork's peak memory would hold what its template has loaded
        worker = WorkerProcess(origin, HOSPITAL, identity, store=store)
        try:
            limits = {"hospital": HOSPITAL, "timeout_seconds": 3600.0}
            arguments = {"source": source, "image_size": SIDE}
            prepared = worker.ask("prepare_images", arguments=arguments, **limits)
            validated = worker.ask("validate_images", arguments={}, **limits)
        finally:
            worker.close()
            origin.close()
        if not validated["passed"] or prepared["images"] != images:
            sys.exit(f"{images} images were not let through: {validated['findings']}")
        stored = sum(path.stat().st_size for path in store.rglob("*") if path.is_file())
    return {
        "images": images,
        "prepare_seconds": prepared["seconds"],
        "prepare_peak_memory_bytes": prepared["peak_memory_bytes"],
        "validate_seconds": validated["seconds"],
        "validate_peak_memory_bytes": validated["peak_memory_bytes"],
        "stored_bytes": stored,
        "digest": prepared["digest"],
    }


def table(rows: list[dict[str, Any]]) -> str:
    lines = [
        "| images | prepare s | peak MB | validate s | peak MB | stored MB |",
        "|---:|---:|---:|---:|---:|---:|",
    ]
    for row in rows:
        lines.append(
            f"| {row['images']:,} | {row['prepare_seconds']:.1f} "
            f"| {row['prepare_peak_memory_bytes'] / 1e6:.0f} | {row['validate_seconds']:.1f} "
            f"| {row['validate_peak_memory_bytes'] / 1e6:.0f} | {row['stored_bytes'] / 1e6:.0f} |"
        )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--sizes", type=int, nargs="+", default=[1_000, 10_000, 100_000])
    parser.add_argument("--home", type=Path, default=PROJECT / ".fed_assets")
    results = PROJECT / "benchmarks" / "results" / "images.json"
    parser.add_argument("--output", type=Path, default=results)
    options = parser.parse_args()
    options.home.mkdir(mode=0o700, parents=True, exist_ok=True)
    rows = []
    for images in options.sizes:
        rows.append(measure(images, options.home))
        print(table(rows[-1:]), flush=True)
    peak = max(row["validate_peak_memory_bytes"] for row in rows)
    record = {
        "what": f"one hospital, synthetic images of {SIDE} x {SIDE} pixels, one worker process",
        "synthetic": True,
        "sizes": rows,
        "peak_memory_bytes": peak,
        "peak_memory_target_bytes": PEAK_MEMORY_TARGET_BYTES,
        "reached": peak <= PEAK_MEMORY_TARGET_BYTES,
    }
    write_record(options.output, record, ("numpy", "pyarrow", "great-expectations"))
    print(f"\n{table(rows)}\n\n{options.output}")
    sys.exit(0 if record["reached"] else 1)


if __name__ == "__main__":
    main()
