"""One hospital's current images, opened for learning: what is not asked for is not loaded."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fed_assets.errors import NotValidated, StorageError, system_reason
from fed_assets.hospital.files import Store
from fed_assets.hospital.manifest import read_manifest
from fed_assets.hospital.store import (
    FACTS,
    IMAGES,
    MANIFEST,
    current_digest,
    dataset_folder,
    validated_digest,
)
from fed_assets.hospital.tensor_file import Images, open_images


@dataclass(frozen=True)
class Dataset:
    """A dataset of the store.

    Attributes:
        digest: sha256 (hex) of its content.
        classes: Names of the labels, by index.
        channels: 1 or 3.
        image_size: Pixels a side.
        synthetic: Whether the images were made up.
        images: uint8 [images, channels, size, size]; only the rows asked for are read.
        labels: int64, one an image; -1 where it is unknown.
        splits: "train", "validation" or "test", one an image.
        readable: Whether the image could be decoded; where not, its pixels are zeros.
    """

    digest: str
    classes: tuple[str, ...]
    channels: int
    image_size: int
    synthetic: bool
    images: Images = field(repr=False)
    labels: NDArray[np.int64] = field(repr=False)
    splits: NDArray[np.str_] = field(repr=False)
    readable: NDArray[np.bool_] = field(repr=False)

    def split(self, name: str) -> NDArray[np.int64]:
        """Returns the rows of one split that can be learnt from: readable and of a known class."""
        usable = (self.splits == name) & self.readable & (self.labels >= 0)
        return np.flatnonzero(usable)


def open_dataset(store: Store, *, validated: bool = True) -> Dataset:
    """Opens the hospital's current dataset.

    Args:
        store: The hospital's store.
        validated: Whether validation must have let exactly these images through.

    Raises:
        NoImages: The hospital's images were never prepared.
        StorageError: The dataset's facts are another one's, or a file of it cannot be read.
        NotValidated: Validation did not let the current images through.
        SealBroken: A file of a sealed store is not what was sealed there.
        KeyRefused: The store's key cannot be used, or does not open it.
    """
    digest = current_digest(store)
    if validated and validated_digest(store) != digest:
        raise NotValidated(
            "Validation has not let the hospital's current images through", where=str(store.folder)
        )
    folder = dataset_folder(store, digest)
    try:
        return _opened(store, folder, digest)
    except OSError as error:
        raise StorageError(
            "A file of the hospital's dataset cannot be read",
            where=str(folder),
            seen=system_reason(error),
            cure="Materialize the hospital's images again",
        ) from error


def _opened(store: Store, folder: Path, digest: str) -> Dataset:
    facts: dict[str, Any] = json.loads(store.read(folder / FACTS))
    if facts["digest"] != digest:
        raise StorageError(
            "A file of the store is damaged",
            where=str(folder / FACTS),
            cure="Materialize the hospital's images again",
        )
    with store.open(folder / MANIFEST) as file:
        table = read_manifest(file, ["label", "split", "readable"])
    return Dataset(
        digest=digest,
        classes=tuple(facts["classes"]),
        channels=facts["channels"],
        image_size=facts["image_size"],
        synthetic=facts["synthetic"],
        images=open_images(store, folder / IMAGES),
        labels=table["label"].to_numpy().astype(np.int64),
        splits=table["split"].to_numpy().astype(np.str_),
        readable=table["readable"].to_numpy().astype(np.bool_),
    )
