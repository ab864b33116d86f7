"""What every source of a hospital's images can do: list them, then read them in a stream."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

SPLITS = ("train", "validation", "test")
UNKNOWN_LABEL = -1


@dataclass(frozen=True, slots=True)
class Record:
    """One image as its source lists it, before a pixel is read.

    Attributes:
        image_id: Unique and stable within the source.
        split: One of `SPLITS`.
        label: Index into the source's classes; -1 where the label is not one of them.
        patient: Who is on the image; None where that is not known.
        position: Where the source finds the image again, counted from 0 in the split or the list.
    """

    # A patient's id or a file name would stand in any traceback that shows a record.
    image_id: str = field(repr=False)
    split: str
    label: int
    patient: str | None = field(repr=False)
    position: int


@dataclass(frozen=True, slots=True)
class Decoded:
    """One image as it was read.

    Attributes:
        pixels: uint8 [height, width] or [height, width, 3]; None where the image is unreadable.
        width: Of the source image, in pixels; 0 where even that could not be read.
        height: The same.
        bit_depth: Bits per sample in the source; 0 where it could not be read.
        sha256: Of the image as the source stores it, in hex.
    """

    pixels: NDArray[np.uint8] | None = field(repr=False)
    width: int
    height: int
    bit_depth: int
    sha256: str = field(repr=False)


class Source(Protocol):
    """A hospital's images, wherever they lie."""

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes; a record's label is an index into them."""

    @property
    def channels(self) -> int:
        """Returns 1 for gray images, 3 for colour."""

    @property
    def synthetic(self) -> bool:
        """Whether the images were made up."""

    def records(self) -> list[Record]:
        """Lists every image, in an order that the same files always give."""

    def read(self, records: Sequence[Record]) -> Iterator[Decoded]:
        """Reads images one by one; `records` stand in the order of the source's own list.

        An image that cannot be read is an unreadable `Decoded`, never an error.

        Raises:
            SourceCorrupt: The source as a whole cannot be read on.
        """


Spec = dict[str, Any]
