"""One dataset's tensor file, plain or sealed, read a batch at a time."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from fed_assets.errors import SealBroken
from fed_assets.hospital.files import Store
from fed_assets.hospital.vault import CHUNK_BYTES, SealedReader


class Images(Protocol):
    """Images uint8 [all, channels, height, width], of which those that are asked for are read."""

    @property
    def shape(self) -> tuple[int, ...]:
        """How many images there are, and of what shape."""

    def __getitem__(self, rows: Any, /) -> Any:
        """Returns the image of a row, or those of some rows."""


class SealedImages:
    """The images of a sealed tensor file: only those that are asked for are decrypted.

    They are decrypted into memory, and nowhere else: a chunk of 64 KiB at a time, of which the
    last 512 are kept, 32 MiB. A dataset that is smaller is decrypted once.

    Args:
        file: The tensor file, which stays open as long as this is in use.
        name: What errors call it.

    Raises:
        SealBroken: It was sealed as what it is, and is no tensor file.
    """

    def __init__(self, file: SealedReader, name: str) -> None:
        self._file = file
        try:
            np.lib.format.read_magic(file)
            self.shape, by_column, dtype = np.lib.format.read_array_header_1_0(file)
        except ValueError:
            by_column, dtype = False, None
        if by_column or dtype != np.uint8:
            raise SealBroken("A sealed file holds no images", where=name)
        self._start = file.tell()
        self._image_bytes = int(np.prod(self.shape[1:], dtype=np.int64))
        self._rows = np.arange(self.shape[0])

    def __getitem__(self, rows: Any, /) -> NDArray[np.uint8]:
        """Returns the image of a row, or those of a slice or an array of rows, as numpy would."""
        chosen = self._rows[rows]
        images = np.empty((chosen.size, *self.shape[1:]), np.uint8)
        # In the file's order, so that images of one chunk are read one after the other.
        for place in np.argsort(chosen, axis=None, kind="stable"):
            self._file.seek(self._start + int(chosen.flat[place]) * self._image_bytes)
            self._file.readinto(images[place])
        return images.reshape(chosen.shape + self.shape[1:])


def open_images(store: Store, path: Path) -> Images:
    """Returns the images of a tensor file of the store: mapped, or decrypted when asked for.

    Raises:
        SealBroken: It is not what was sealed there; so does each read that comes upon it.
        KeyRefused: The hospital's key cannot be used, or does not open it.
    """
    if store.keys is None:
        mapped: Images = np.load(path, mmap_mode="r")
        return mapped
    return SealedImages(store.sealed(path), store.binding(path).name)


def check_images(store: Store, path: Path) -> None:
    """Reads a sealed tensor file through, so that one that was changed is refused before its use.

    Raises:
        SealBroken: It is not what was sealed there.
        KeyRefused: The hospital's key cannot be used, or does not open it.
    """
    if store.keys is not None:
        with store.sealed(path) as file:
            while file.read(CHUNK_BYTES):
                pass
