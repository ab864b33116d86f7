"""What sealing a store costs, against a plain one.

Three ways to keep 5,000 images of 20 kB, each plain and sealed, in turn:

- `files`: an image a file, each written in one step and with a key of its own, then read. This is
  what may take 1.5 times as long at most.
- `tensor`: one tensor file, as hospitals keep them, written in a stream, then read in order, 32
  images at a time.
- `batches`: that tensor file, read as training does: 32 images at a time in random order. Plain,
  the file is mapped, and its pages lie in memory already.

What was read is compared with what was written, outside of what is timed.

    python -m benchmarks.sealed --folder FOLDER_WITH_1_GB_FREE
"""

from __future__ import annotations

import argparse
import gc
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.record import write_record
from fed_assets.hospital.custody import SETTLED_NS, HospitalKey
from fed_assets.hospital.files import Store
from fed_assets.hospital.store import open_store
from fed_assets.hospital.tensor_file import open_images

PROJECT = Path(__file__).resolve().parent.parent
IMAGES = 5_000
IMAGE_BYTES = 20_000
BATCH = 32
MOST = 1.5

Pixels = np.ndarray[Any, np.dtype[np.uint8]]
Rows = np.ndarray[Any, np.dtype[np.int64]]


def write_files(store: Store, pixels: Pixels) -> None:
    for number, image in enumerate(pixels):
        store.write(store.folder / f"{number:05d}", image.tobytes())


def read_files(store: Store) -> list[bytes]:
    return [store.read(store.folder / f"{number:05d}") for number in range(IMAGES)]


def write_tensor(store: Store, pixels: Pixels) -> None:
    with store.create(store.folder / "images.npy") as file:
        np.lib.format.write_array_header_1_0(
            file, {"descr": "|u1", "fortran_order": False, "shape": pixels.shape}
        )
        for image in pixels:
            file.write(image.data)


def read_tensor(store: Store, order: Rows) -> list[Pixels]:
    images = open_images(store, store.folder / "images.npy")
    return [images[order[start : start + BATCH]] for start in range(0, IMAGES, BATCH)]


def timed(work: Callable[[], Any]) -> tuple[float, Any]:
    gc.collect()
    started = time.perf_counter()
    result = work()
    return time.perf_counter() - started, result


def once(store: Store, pixels: Pixels, shuffled: Rows) -> dict[str, float]:
    """Returns seconds by what was done; ends if another thing is read than was written."""
    seconds = {}
    seconds["files_write"], _ = timed(lambda: write_files(store, pixels))
    seconds["files_read"], read = timed(lambda: read_files(store))
    same = b"".join(read) == pixels.tobytes()
    seconds["tensor_write"], _ = timed(lambda: write_tensor(store, pixels))
    seconds["tensor_read"], read = timed(lambda: read_tensor(store, np.arange(IMAGES)))
    same &= np.array_equal(np.concatenate(read), pixels)
    seconds["batches_read"], read = timed(lambda: read_tensor(store, shuffled))
    same &= np.array_equal(np.concatenate(read), pixels[shuffled])
    if not same:
        sys.exit("What was read is not what was written")
    return seconds


def measure(folder: Path, repeats: int) -> dict[str, Any]:
    """Measures plain and sealed in turn; a repeat's ratio is of two runs right after another."""
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (IMAGES, 1, 100, IMAGE_BYTES // 100), dtype=np.uint8)
    shuffled = rng.permutation(IMAGES)
    seconds: dict[str, list[dict[str, float]]] = {"plain": [], "sealed": []}
    for repeat in range(repeats + 1):
        for kind in ("plain", "sealed") if repeat % 2 else ("sealed", "plain"):
            with tempfile.TemporaryDirectory(prefix=f"{kind}-", dir=folder) as place:
                key = HospitalKey(Path(place) / "key.json", "north") if kind == "sealed" else None
                store = open_store(Store(Path(place) / "store", "north", key))
                time.sleep(1.1 * SETTLED_NS / 1e9)  # a key that was just made is read each time
                took = once(store, pixels, shuffled)
            if repeat:  # the first warms up
                seconds[kind].append(took)
    return {
        "seconds": {
            kind: {name: statistics.median(run[name] for run in runs) for name in runs[0]}
            for kind, runs in seconds.items()
        },
        "ratios": {
            what: ratios(seconds, names)
            for what, names in {
                "files": ("files_write", "files_read"),
                "tensor": ("tensor_write", "tensor_read"),
                "batches": ("batches_read",),
            }.items()
        },
    }


def ratios(seconds: dict[str, list[dict[str, float]]], names: tuple[str, ...]) -> dict[str, float]:
    """Returns the median of the repeats' ratios of sealed to plain, and the least and the most."""
    sums = {kind: [sum(run[name] for name in names) for run in seconds[kind]] for kind in seconds}
    each = [sealed / plain for plain, sealed in zip(sums["plain"], sums["sealed"], strict=True)]
    return {"median": statistics.median(each), "least": min(each), "most": max(each)}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--folder", type=Path, default=PROJECT / ".fed_assets")
    parser.add_argument("--repeats", type=int, default=7)
    results = PROJECT / "benchmarks" / "results" / "sealed.json"
    parser.add_argument("--output", type=Path, default=results)
    options = parser.parse_args()
    options.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    measured = measure(options.folder, options.repeats)
    record = {
        "what": f"{IMAGES:,} images of {IMAGE_BYTES:,} bytes, sealed against plain, one process",
        "repeats": options.repeats,
        **measured,
        "most_allowed_for_files": MOST,
        "reached": measured["ratios"]["files"]["median"] <= MOST,
    }
    write_record(options.output, record, ("cryptography", "numpy"))
    for what, ratio in measured["ratios"].items():
        least, most = ratio["least"], ratio["most"]
        print(f"{what}: {ratio['median']:.2f} times plain ({least:.2f} to {most:.2f})")
    sys.exit(0 if record["reached"] else 1)


if __name__ == "__main__":
    main()
