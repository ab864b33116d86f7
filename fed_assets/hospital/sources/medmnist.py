"""One image per row of a MedMNIST npz, streamed out of the zip so that memory stays flat."""

from __future__ import annotations

import hashlib
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from fed_assets.errors import ChecksumMismatch, NoImages, SourceCorrupt, SourceMissing
from fed_assets.hospital.sources.protocol import UNKNOWN_LABEL, Decoded, Record

KEYS = {"train": "train", "validation": "val", "test": "test"}


@dataclass(frozen=True)
class MedMnist:
    """A MedMNIST file, its labels in memory and its images on disk."""

    path: Path
    classes: tuple[str, ...]
    channels: int
    labels: dict[str, NDArray[np.int64]] = field(repr=False)
    synthetic: bool = False

    def records(self) -> list[Record]:
        """Lists every image, split by split; MedMNIST knows no patients."""
        return [
            Record(f"{split}-{position:07d}", split, int(label), None, position)
            for split, labels in self.labels.items()
            for position, label in enumerate(labels)
        ]

    def read(self, records: Sequence[Record]) -> Iterator[Decoded]:
        """Reads the images of `records`, decompressing each split once.

        Raises:
            SourceCorrupt: The file ends early or a checksum inside it does not hold.
        """
        for split, wanted in groupby(records, key=lambda record: record.split):
            positions = {record.position for record in wanted}
            with (
                _reading(self.path),
                zipfile.ZipFile(self.path) as archive,
                archive.open(f"{KEYS[split]}_images.npy") as member,
            ):
                shape, dtype = _header(member)
                size = int(np.prod(shape[1:])) * dtype.itemsize
                for position in range(max(positions) + 1):
                    raw = member.read(size)
                    if len(raw) != size:
                        raise EOFError("the array is shorter than its header says")
                    if position in positions:
                        pixels = np.frombuffer(raw, np.uint8).reshape(shape[1:])
                        sha256 = hashlib.sha256(raw).hexdigest()
                        yield Decoded(pixels, shape[2], shape[1], 8, sha256)


def open_medmnist(
    path: Path, *, classes: tuple[str, ...] | None = None, md5: str | None = None
) -> MedMnist:
    """Opens a 2-D MedMNIST file: gray or RGB, any size, one label per image.

    Args:
        path: The npz; its keys are `{train,val,test}_{images,labels}`, any split may be absent.
        classes: Names by label; labels outside them become unknown. None names each label that
            occurs by its number.
        md5: What the file's md5 must be, in hex; None asks for none.

    Raises:
        SourceMissing: There is no such file.
        ChecksumMismatch: Its md5 is another.
        SourceCorrupt: It is no npz, or its arrays are not those of a 2-D MedMNIST set.
        NoImages: It holds no image.
    """
    if not path.is_file():
        raise SourceMissing("The file of images is not there", where=str(path))
    with _reading(path):
        if md5:
            with path.open("rb") as file:
                seen = hashlib.file_digest(file, "md5").hexdigest()
            if seen != md5.lower():
                raise ChecksumMismatch(
                    "The file of images has another md5 than it should",
                    where=str(path),
                    seen=f"{seen} in place of {md5}",
                )
        with zipfile.ZipFile(path) as archive:
            keys = {name.removesuffix(".npy") for name in archive.namelist()}
            raw, image_shapes = {}, set()
            for split, prefix in KEYS.items():
                pair = {f"{prefix}_images", f"{prefix}_labels"}
                if not pair & keys:
                    continue
                if not pair <= keys:
                    raise _unfit(path, f"{prefix} has images or labels, but not both")
                count, image_shape = _image_header(archive, f"{prefix}_images", path)
                raw[split] = _labels(archive, f"{prefix}_labels", path)
                if len(raw[split]) != count:
                    raise _unfit(path, f"{prefix} has {count} images and {len(raw[split])} labels")
                image_shapes.add(image_shape)
    if not raw:
        raise _unfit(path, f"{len(keys)} arrays, none named train_images, val_images, test_images")
    if not sum(map(len, raw.values())):
        raise NoImages("The file holds no image", where=str(path))
    if len({len(shape) for shape in image_shapes}) > 1:
        raise _unfit(path, "gray images in one split and colour in another")
    found = np.unique(np.concatenate(list(raw.values())))
    if not classes and not np.array_equal(found, np.arange(len(found))):
        raise SourceCorrupt(
            "The labels are not 0, 1, 2 and so on",
            where=str(path),
            seen=", ".join(str(value) for value in found[:12]),
            cure="Correct the labels, or name every class in the roster's `data.classes`",
        )
    values = np.arange(len(classes)) if classes else found
    labels = {split: _index(column, values) for split, column in raw.items()}
    names = classes or tuple(str(value) for value in found)
    return MedMnist(path, names, 3 if len(image_shapes.pop()) == 3 else 1, labels)


def _image_header(archive: zipfile.ZipFile, key: str, path: Path) -> tuple[int, tuple[int, ...]]:
    with archive.open(f"{key}.npy") as member:
        shape, dtype = _header(member)
    flat = len(shape) == 3 or (len(shape) == 4 and shape[3] == 3)
    if not flat or dtype != np.uint8 or 0 in shape[1:]:
        raise _unfit(path, f"{key} is {dtype} of shape {shape}")
    return shape[0], shape[1:]


def _labels(archive: zipfile.ZipFile, key: str, path: Path) -> NDArray[np.int64]:
    with archive.open(f"{key}.npy") as member:
        shape, dtype = _header(member)
        if len(shape) not in (1, 2) or shape[1:] not in ((), (1,)) or dtype.kind not in "iu":
            raise _unfit(path, f"{key} is {dtype} of shape {shape}, not one whole number an image")
        raw = member.read(shape[0] * dtype.itemsize)
        member.read(1)  # only past the last byte does zipfile compare the checksum
    return np.frombuffer(raw, dtype).astype(np.int64)


def _index(values: NDArray[np.int64], known: NDArray[Any]) -> NDArray[np.int64]:
    at = np.searchsorted(known, values).clip(max=len(known) - 1)
    return np.where(known[at] == values, at, UNKNOWN_LABEL)


def _header(member: IO[bytes]) -> tuple[tuple[int, ...], np.dtype[Any]]:
    version = np.lib.format.read_magic(member)
    if version == (1, 0):
        shape, fortran, dtype = np.lib.format.read_array_header_1_0(member)
    else:
        shape, fortran, dtype = np.lib.format.read_array_header_2_0(member)
    if dtype.hasobject:
        raise ValueError("an array of Python objects is never unpickled")
    if fortran and sum(side > 1 for side in shape) > 1:
        raise ValueError("the array is stored by column and cannot be streamed")
    return shape, dtype


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    try:
        yield
    except (
        zipfile.BadZipFile,
        zlib.error,
        EOFError,
        KeyError,
        ValueError,
        OSError,
        NotImplementedError,  # a compression that zipfile does not know
        RuntimeError,  # an encrypted member
    ) as error:
        # The reason, not repr: for an OSError it would bring the path a second time.
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise SourceCorrupt(
            "The file of images cannot be read as an npz",
            where=str(path),
            seen=reason or type(error).__name__,
        ) from error


def _unfit(path: Path, seen: str) -> SourceCorrupt:
    return SourceCorrupt(
        "The file is not a 2-D MedMNIST set with one label an image",
        where=str(path),
        seen=seen,
        cure="Give a MedMNIST npz with uint8 {train,val,test}_images of shape (n, h, w) or "
        "(n, h, w, 3) and {train,val,test}_labels of shape (n, 1)",
    )
