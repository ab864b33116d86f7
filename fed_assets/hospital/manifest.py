"""One row per image, in the order of the tensor file; it stays in the hospital."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import IO, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from fed_assets.hospital.sources.protocol import Decoded, Record

SCHEMA = pa.schema(
    [
        ("image_id", pa.string()),
        ("patient", pa.string()),
        ("label", pa.int16()),
        ("split", pa.string()),
        ("width", pa.int32()),
        ("height", pa.int32()),
        ("bit_depth", pa.int16()),
        ("mean", pa.float32()),
        ("sd", pa.float32()),
        ("sha256", pa.string()),
        ("readable", pa.bool_()),
    ]
)
BATCH_ROWS = 8192

_ROW = np.dtype(
    [
        ("width", np.int32),
        ("height", np.int32),
        ("bit_depth", np.int16),
        ("mean", np.float32),
        ("sd", np.float32),
        ("sha256", "S64"),
        ("readable", np.bool_),
    ]
)


@dataclass
class Measured:
    """What decoding found of each image, in 83 bytes a row."""

    rows: NDArray[Any] = field(repr=False)

    @classmethod
    def for_images(cls, count: int) -> Measured:
        """Returns room for `count` images, all unreadable as yet."""
        return cls(np.zeros(count, _ROW))

    def note(self, row: int, decoded: Decoded, tensor: NDArray[np.uint8] | None) -> None:
        """Notes one image; `tensor` is what the tensor file holds of it, None if unreadable."""
        mean, sd = (0.0, 0.0) if tensor is None else mean_and_sd(tensor)
        self.rows[row] = (
            decoded.width,
            decoded.height,
            decoded.bit_depth,
            mean,
            sd,
            decoded.sha256.encode(),
            tensor is not None,
        )

    @property
    def sha256(self) -> NDArray[np.bytes_]:
        """Hash of each image's source bytes, in hex."""
        return np.asarray(self.rows["sha256"])

    @property
    def readable(self) -> NDArray[np.bool_]:
        """Whether each image could be decoded."""
        return np.asarray(self.rows["readable"])


def mean_and_sd(tensor: NDArray[np.uint8]) -> tuple[float, float]:
    """Returns mean and standard deviation of 8-bit pixels, in grey levels."""
    histogram = np.bincount(tensor.ravel(), minlength=256)
    levels = np.arange(256)
    mean = float(histogram @ levels) / tensor.size
    return mean, float(np.sqrt(histogram @ (levels - mean) ** 2 / tensor.size))


def write_manifest(
    file: IO[bytes], records: Sequence[Record], splits: Sequence[str], measured: Measured
) -> None:
    """Writes the manifest as Parquet, `BATCH_ROWS` rows at a time.

    Raises:
        OSError: The disk is full.
    """
    with pq.ParquetWriter(file, SCHEMA, compression="zstd") as writer:
        for start in range(0, len(records), BATCH_ROWS):
            batch = slice(start, start + BATCH_ROWS)
            rows = measured.rows[batch]
            columns: dict[str, Any] = {name: rows[name] for name in _ROW.names or ()} | {
                "image_id": [record.image_id for record in records[batch]],
                "patient": [record.patient for record in records[batch]],
                "label": [record.label for record in records[batch]],
                "split": list(splits[batch]),
                "sha256": rows["sha256"].astype(str),
            }
            writer.write_table(
                pa.table([pa.array(columns[each.name], each.type) for each in SCHEMA], SCHEMA)
            )


def read_manifest(file: IO[bytes], columns: Iterable[str] | None = None) -> pa.Table:
    """Reads a manifest, or some of its columns."""
    return pq.read_table(file, columns=list(columns) if columns else None)


def content_digest(
    records: Sequence[Record],
    splits: Sequence[str],
    measured: Measured,
    *,
    classes: Sequence[str],
    channels: int,
    image_size: int,
) -> str:
    """Returns the sha256 (hex) of everything that learning sees of a dataset, in order.

    A patient counts by which rows are theirs and not by name, so that the digest is the same in
    two stores whose pseudonyms differ.
    """
    head = {"classes": list(classes), "channels": channels, "image_size": image_size}
    digest = hashlib.sha256(json.dumps(head).encode())
    patients: dict[str, int] = {}
    for record, split, sha256 in zip(records, splits, measured.sha256, strict=True):
        patient = record.patient
        number = "" if patient is None else patients.setdefault(patient, len(patients))
        digest.update(f"\n{sha256.decode()} {record.label} {split} {number}".encode())
    return digest.hexdigest()
