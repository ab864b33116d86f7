"""What a hospital keeps of images that it let through, to compare later ones with.

One file per dataset, in the hospital's own store: of each image its mean and standard deviation,
its label, and the first part of its hash. Pixels and patients are not in it.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from fed_assets.hospital.files import Store
from fed_assets.hospital.store import REFERENCES, writing

if TYPE_CHECKING:
    import pandas as pd

KEPT = 10
_HASH_DIGITS = 16


@dataclass(frozen=True)
class Reference:
    """A dataset's readable images of known classes, without the images.

    Attributes:
        classes: Names of the labels, by index.
        mean: Mean grey level of each image.
        sd: Standard deviation of its grey levels.
        label: Its label.
        content: The first part of its hash.
    """

    classes: tuple[str, ...]
    mean: NDArray[np.float64] = field(repr=False)
    sd: NDArray[np.float64] = field(repr=False)
    label: NDArray[np.int64] = field(repr=False)
    content: tuple[str, ...] = field(repr=False)

    def only(self, rows: NDArray[np.bool_]) -> Reference:
        """Returns some of its images."""
        content = tuple(each for each, taken in zip(self.content, rows, strict=True) if taken)
        return Reference(self.classes, self.mean[rows], self.sd[rows], self.label[rows], content)


def reference_of(manifest: pd.DataFrame, classes: Sequence[str]) -> Reference:
    """Returns what is kept of the images of a manifest."""
    usable = manifest[manifest["readable"] & (manifest["label"] >= 0)]
    return Reference(
        tuple(classes),
        usable["mean"].to_numpy(np.float64).round(2),
        usable["sd"].to_numpy(np.float64).round(2),
        usable["label"].to_numpy(np.int64),
        tuple(usable["sha256"].str[:_HASH_DIGITS]),
    )


def keep_reference(store: Store, digest: str, reference: Reference) -> None:
    """Keeps what later images are compared with, and of earlier ones the newest `KEPT`.

    Raises:
        StorageError: It cannot be written.
        KeyRefused: The key of the store, which is sealed, cannot be used.
    """
    folder = store.folder / REFERENCES
    record = {
        "digest": digest,
        "classes": reference.classes,
        "mean": reference.mean.tolist(),
        "sd": reference.sd.tolist(),
        "label": reference.label.tolist(),
        "content": reference.content,
    }
    with writing(store):
        folder.mkdir(mode=0o700, exist_ok=True)
        store.write(folder / _name(digest), json.dumps(record).encode())
        kept = sorted(folder.glob("[!.]*"), key=lambda path: path.stat().st_mtime_ns)
        for old in kept[:-KEPT]:
            old.unlink(missing_ok=True)


def kept_reference(store: Store, digest: str) -> Reference | None:
    """Returns what was kept of the dataset of this digest; None where nothing is kept of it.

    Raises:
        SealBroken: It is not what was sealed there.
        KeyRefused: The key of the store, which is sealed, cannot be used.
    """
    try:
        record = json.loads(store.read(store.folder / REFERENCES / _name(digest)))
        if record["digest"] != digest:
            return None
        return Reference(
            tuple(record["classes"]),
            np.asarray(record["mean"], np.float64),
            np.asarray(record["sd"], np.float64),
            np.asarray(record["label"], np.int64),
            tuple(record["content"]),
        )
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return None


def _name(digest: str) -> str:
    return f"{digest[:_HASH_DIGITS]}.json"
