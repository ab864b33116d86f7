"""One file per image under `split/class/` or `class/`, listed in a fixed order."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from fed_assets.errors import NoImages, SourceCorrupt, SourceMissing

SPLIT_NAMES = {"train": "train", "val": "validation", "validation": "validation", "test": "test"}


@dataclass(frozen=True, slots=True)
class ImageFile:
    """One file, where it lies and what its folders say about it.

    Attributes:
        path: The file.
        split: One of train, validation and test; train where the layout has no splits.
        class_name: The name of its class folder.
        name: Its path below the class folder, which is the file's name in a flat layout.
        image_id: Its path below the root.
    """

    path: Path = field(repr=False)
    split: str
    class_name: str
    name: str = field(repr=False)
    image_id: str = field(repr=False)


def list_images(root: Path, suffixes: frozenset[str]) -> list[ImageFile]:
    """Lists the files with one of `suffixes` under `root/split/class/` or `root/class/`.

    Hidden files and folders are left out, links to folders are not followed.

    Raises:
        SourceMissing: There is no such folder, or it may not be read.
        SourceCorrupt: Some of its folders are splits and some are not.
        NoImages: No file has one of the suffixes.
    """
    if not root.is_dir():
        raise SourceMissing("The folder of images is not there", where=str(root))
    try:
        folders = _folders(root)
    except PermissionError as error:
        raise SourceMissing("The folder of images may not be read", where=str(root)) from error
    are_splits = [folder.name.lower() in SPLIT_NAMES for folder in folders]
    if any(are_splits) and not all(are_splits):
        raise SourceCorrupt(
            "Some folders are named after a split and some are not",
            where=str(root),
            seen=f"{are_splits.count(False)} of {len(folders)} folders are not named train, val, "
            "validation or test",
            cure="Lay the images out as split/class/file throughout, or as class/file throughout",
        )
    files = []
    for folder in folders:
        split = SPLIT_NAMES[folder.name.lower()] if any(are_splits) else "train"
        for class_folder in _folders(folder) if any(are_splits) else [folder]:
            for path in _files(class_folder, suffixes):
                files.append(
                    ImageFile(
                        path,
                        split,
                        class_folder.name,
                        _text(path.relative_to(class_folder)),
                        _text(path.relative_to(root)),
                    )
                )
    if not files:
        raise NoImages(
            "The folder holds no image",
            where=str(root),
            seen=f"no file ending in {', '.join(sorted(filter(None, suffixes)))} two folders down",
        )
    return sorted(files, key=lambda file: (_ORDER[file.split], file.image_id))


_ORDER = {"train": 0, "validation": 1, "test": 2}


def class_names(files: list[ImageFile], declared: tuple[str, ...] | None) -> tuple[str, ...]:
    """Returns the declared classes, or those that the folders name, sorted."""
    return declared or tuple(sorted({file.class_name for file in files}))


def _folders(root: Path) -> list[Path]:
    with os.scandir(root) as entries:
        return sorted(
            Path(entry.path)
            for entry in entries
            if entry.is_dir(follow_symlinks=False) and not entry.name.startswith((".", "__"))
        )


def _files(root: Path, suffixes: frozenset[str]) -> Iterator[Path]:
    for folder, folders, names in os.walk(root):
        folders[:] = [name for name in folders if not name.startswith((".", "__"))]
        for name in names:
            path = Path(folder, name)
            # A pipe or a device would never end; a link to a regular file is as good as the file.
            if not name.startswith(".") and path.suffix.lower() in suffixes and path.is_file():
                yield path


def _text(path: Path) -> str:
    # A name in another encoding holds surrogates, which Parquet cannot store.
    return path.as_posix().encode("utf-8", "backslashreplace").decode()
