"""Updates of large models: on disk until their round is aggregated, array by array."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np


class ParkedWeights(Mapping[str, np.ndarray[Any, Any]]):
    """The arrays of a safetensors file, each read when it is asked for.

    Raises:
        OSError: The file cannot be opened.
        safetensors.SafetensorError: It is no safetensors file.
    """

    def __init__(self, path: Path) -> None:
        from safetensors import safe_open

        self._path = path
        with safe_open(path, "numpy") as file:
            self._names = tuple(file.keys())

    def __getitem__(self, name: str) -> np.ndarray[Any, Any]:
        from safetensors import safe_open

        if name not in self._names:
            raise KeyError(name)
        with safe_open(self._path, "numpy") as file:
            array: np.ndarray[Any, Any] = file.get_tensor(name)
        return array

    def rows(self, name: str, place: slice) -> np.ndarray[Any, Any]:
        """Returns some rows of an array; the others are not read."""
        from safetensors import safe_open

        with safe_open(self._path, "numpy") as file:
            part: np.ndarray[Any, Any] = file.get_slice(name)[place]
        return part

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


def rows_of(
    weights: Mapping[str, np.ndarray[Any, Any]], name: str, place: slice
) -> np.ndarray[Any, Any]:
    """Returns some rows of one of a hospital's arrays, wherever these lie."""
    if isinstance(weights, ParkedWeights):
        return weights.rows(name, place)
    return weights[name][place]
