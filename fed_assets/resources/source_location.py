"""Where a roster's images are on this machine, as a hospital's process is told."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from fed_assets.errors import SourceMissing
from fed_assets.federation.data_sources import (
    DATA_FOLDER,
    MedMnistSource,
    PhantomSource,
    Source,
)
from fed_assets.resources.datasets import find_dataset, locate_dataset


def locate_source(
    source: Source, *, data: Path | None, cache: Path
) -> tuple[dict[str, Any], tuple[str, ...] | None]:
    """Returns the source as the hospital's process takes it, and its class names where known.

    Args:
        source: The roster's entry.
        data: The folder that FED_ASSETS_DATA names.
        cache: The folder of fetched data sets.

    Raises:
        SourceMissing: A named data set is not here, or FED_ASSETS_DATA is needed and not set.
        ChecksumMismatch: A file of the data set's name is here, and is not the official one.
    """
    if not isinstance(source, MedMnistSource) or source.dataset is None:
        specification = source.model_dump(mode="json", exclude={"dataset", "otherwise"})
        if "path" in specification:
            specification["path"] = str(_below_data(Path(specification["path"]), data))
        return specification, None
    dataset = find_dataset(source.dataset)
    path = locate_dataset(source.dataset, data=data, cache=cache)
    if path is not None:
        return {"kind": "medmnist", "path": str(path), "md5": dataset.md5}, dataset.classes
    if source.otherwise == "phantom":
        return PhantomSource(kind="phantom", classes=len(dataset.classes)).model_dump(), None
    raise SourceMissing(
        f"The public data set {source.dataset} is not on this machine",
        cure=f"Run `fed-assets data fetch {source.dataset}`, or set FED_ASSETS_DATA to its folder",
    )


def source_elsewhere(source: Source) -> tuple[dict[str, Any], tuple[str, ...] | None]:
    """Returns the same for a hospital whose machine is another, which fills the folder in itself.

    What lies there, nobody here can look at.
    """
    if not isinstance(source, MedMnistSource) or source.dataset is None:
        return source.model_dump(mode="json", exclude={"dataset", "otherwise"}), None
    dataset = find_dataset(source.dataset)
    path = f"{DATA_FOLDER}/{source.dataset}.npz"
    return {"kind": "medmnist", "path": path, "md5": dataset.md5}, dataset.classes


def source_paths(source: Source, *, data: Path | None, cache: Path) -> list[str]:
    """Returns the paths at which a source may lie: what a confined hospital has to read."""
    if isinstance(source, PhantomSource):
        return []
    if isinstance(source, MedMnistSource) and source.dataset is not None:
        return [str(folder / f"{source.dataset}.npz") for folder in (data, cache) if folder]
    path = source.path
    if path is None or (path.parts[0] == DATA_FOLDER and data is None):
        return []
    return [str(_below_data(path, data))]


def _below_data(path: Path, data: Path | None) -> Path:
    """Returns the path with `${FED_ASSETS_DATA}` filled in."""
    if path.parts[0] != DATA_FOLDER:
        return path
    if data is None:
        raise SourceMissing(
            "The roster's path begins with ${FED_ASSETS_DATA}, which is not set",
            where=str(path),
            cure="Set FED_ASSETS_DATA to the folder that holds the data",
        )
    return data.joinpath(*path.parts[1:])
