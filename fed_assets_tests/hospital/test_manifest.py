from __future__ import annotations

from pathlib import Path
from typing import IO

import numpy as np
import pyarrow.parquet as pq
import pytest

from fed_assets.hospital.manifest import (
    BATCH_ROWS,
    SCHEMA,
    Measured,
    content_digest,
    mean_and_sd,
    read_manifest,
    write_manifest,
)
from fed_assets.hospital.sources.protocol import Decoded, Record

KIND = {"classes": ["a", "b"], "channels": 1, "image_size": 4}


def _rows(count: int) -> tuple[list[Record], list[str], Measured]:
    records = [
        Record(f"i{row}", "train", row % 2, f"p{row // 2}" if row % 5 else None, row)
        for row in range(count)
    ]
    measured = Measured.for_images(count)
    pixels = np.arange(16, dtype=np.uint8).reshape(1, 4, 4)
    for row in range(count):
        measured.note(row, Decoded(pixels[0], 4, 4, 8, f"{row:064x}"), pixels)
    return records, ["train"] * count, measured


def _file(folder: Path, mode: str) -> IO[bytes]:
    return (folder / "manifest.parquet").open(mode)


def test_a_manifest_comes_back_with_every_column_as_declared(tmp_path: Path) -> None:
    records, splits, measured = _rows(7)
    measured.note(3, Decoded(None, 12_000, 4, 8, "f" * 64), None)
    with _file(tmp_path, "xb") as file:
        write_manifest(file, records, splits, measured)
    with _file(tmp_path, "rb") as file:
        table = read_manifest(file)
    assert table.schema.equals(SCHEMA)
    row = table.slice(3, 1).to_pylist()[0]
    assert row == {
        "image_id": "i3",
        "patient": "p1",
        "label": 1,
        "split": "train",
        "width": 12_000,
        "height": 4,
        "bit_depth": 8,
        "mean": 0.0,
        "sd": 0.0,
        "sha256": "f" * 64,
        "readable": False,
    }
    assert table["patient"].null_count == 2


def test_a_manifest_is_written_in_batches(tmp_path: Path) -> None:
    count = 2 * BATCH_ROWS + 1
    records, splits, measured = _rows(count)
    with _file(tmp_path, "xb") as file:
        write_manifest(file, records, splits, measured)
    assert pq.ParquetFile(tmp_path / "manifest.parquet").num_row_groups == 3
    with _file(tmp_path, "rb") as file:
        ids = read_manifest(file, ["image_id"])["image_id"].to_pylist()
    assert ids[-1] == f"i{count - 1}"


def test_mean_and_sd_are_those_of_numpy() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (3, 17, 5), dtype=np.uint8)
    assert mean_and_sd(pixels) == pytest.approx((pixels.mean(), pixels.std()))


def test_the_digest_changes_with_every_thing_that_learning_sees() -> None:
    records, splits, measured = _rows(6)
    digest = content_digest(records, splits, measured, **KIND)
    assert digest == content_digest(*_rows(6), **KIND)
    other_label = [*records[:-1], Record("i5", "train", 0, "p2", 5)]
    other_patient = [*records[:-1], Record("i5", "train", 1, "p0", 5)]
    other_pixels = _rows(6)[2]
    other_pixels.note(5, Decoded(None, 0, 0, 0, "e" * 64), None)
    others = [
        content_digest(other_label, splits, measured, **KIND),
        content_digest(other_patient, splits, measured, **KIND),
        content_digest(records, [*splits[:-1], "test"], measured, **KIND),
        content_digest(records, splits, other_pixels, **KIND),
        content_digest(records[::-1], splits, measured, **KIND),
        *(
            content_digest(records, splits, measured, **(KIND | changed))
            for changed in ({"classes": ["a", "c"]}, {"channels": 3}, {"image_size": 8})
        ),
    ]
    assert len({digest, *others}) == len(others) + 1


def test_the_digest_does_not_change_with_what_patients_are_called() -> None:
    records, splits, measured = _rows(6)
    renamed = [
        Record(r.image_id, r.split, r.label, r.patient and f"x{r.patient}", r.position)
        for r in records
    ]
    digests = {content_digest(each, splits, measured, **KIND) for each in (records, renamed)}
    assert len(digests) == 1
