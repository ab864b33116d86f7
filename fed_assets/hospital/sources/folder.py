"""One image per JPEG or PNG file of a folder; the patient's id stands in the file's name."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from fed_assets.errors import RosterError
from fed_assets.hospital.sources.layout import ImageFile, class_names, list_images
from fed_assets.hospital.sources.picture import decode_picture
from fed_assets.hospital.sources.protocol import UNKNOWN_LABEL, Decoded, Record

SUFFIXES = frozenset({".jpg", ".jpeg", ".png"})
SCOPES = ("dataset", "split")
_SAMPLE = 16


@dataclass(frozen=True)
class Folder:
    """A folder of pictures, listed; nothing of a picture is in memory."""

    files: list[ImageFile] = field(repr=False)
    classes: tuple[str, ...]
    channels: int
    patient_pattern: re.Pattern[str] | None = None
    patient_scope: str = "dataset"
    synthetic: bool = False

    def records(self) -> list[Record]:
        """Lists every picture; those whose name the pattern does not match have no patient."""
        return [self._record(position, file) for position, file in enumerate(self.files)]

    def read(self, records: Sequence[Record]) -> Iterator[Decoded]:
        """Decodes the pictures of `records` one by one."""
        return (decode_picture(self.files[record.position].path) for record in records)

    def _record(self, position: int, file: ImageFile) -> Record:
        found = self.patient_pattern.search(file.name) if self.patient_pattern else None
        groups = found.groupdict() if found else {}
        patient = groups.get("patient")
        if patient is not None and self.patient_scope == "split":
            patient = f"{file.split}/{patient}"
        name = groups.get("label") or file.class_name
        label = self.classes.index(name) if name in self.classes else UNKNOWN_LABEL
        return Record(file.image_id, file.split, label, patient, position)


def open_folder(
    path: Path,
    *,
    classes: tuple[str, ...] | None = None,
    patient_pattern: str | None = None,
    patient_scope: str = "dataset",
    channels: int | None = None,
) -> Folder:
    """Opens `split/class/file` or `class/file`; JPEG, 8- and 16-bit PNG.

    Args:
        path: The folder.
        classes: Names of class folders in the order of their labels; images of other folders
            have an unknown label. None takes every class folder, sorted by name.
        patient_pattern: A regular expression that is searched for in a file's name; its group
            `patient` is who is on the image. A group `label`, where it matches, is the class in
            place of the folder's name (a subtype that only the file's name tells).
        patient_scope: "dataset": one id is one patient wherever it occurs. "split": ids of
            different splits are different patients.
        channels: 1 or 3; None looks at the pictures: 1 where they are gray, even if stored as RGB.

    Raises:
        RosterError: The pattern, the scope or the channels cannot be used.
        SourceMissing: There is no such folder.
        SourceCorrupt: Its folders are splits and classes mixed.
        NoImages: It holds no picture.
    """
    if patient_scope not in SCOPES:
        raise RosterError(
            "A source has an unknown patient scope",
            where="`source.patient_scope`",
            seen=str(patient_scope),
            cure=f"Choose one of {', '.join(SCOPES)}",
        )
    if channels not in (None, 1, 3):
        raise RosterError(
            "Images have 1 or 3 channels", where="`source.channels`", seen=str(channels)
        )
    pattern = _compile(patient_pattern)
    files = list_images(path, SUFFIXES)
    names = class_names(files, classes)
    if pattern and classes is None and "label" in pattern.groupindex:
        matches = ((pattern.search(file.name), file) for file in files)
        found = {(match and match["label"]) or file.class_name for match, file in matches}
        names = tuple(sorted(found))
    return Folder(files, names, channels or _channels(files), pattern, patient_scope)


def _compile(pattern: str | None) -> re.Pattern[str] | None:
    if pattern is None:
        return None
    try:
        compiled = re.compile(pattern)
    except re.error as error:
        raise RosterError(
            "The patient pattern is no regular expression",
            where="`source.patient_pattern`",
            seen=str(error),
        ) from error
    if "patient" not in compiled.groupindex:
        raise RosterError(
            "The patient pattern does not say which part of the name is the patient",
            where="`source.patient_pattern`",
            seen=pattern,
            cure="Name that part, as in ^(?P<patient>person[0-9]+)_",
        )
    return compiled


def _channels(files: list[ImageFile]) -> int:
    step = max(1, len(files) // _SAMPLE)
    for file in files[::step][:_SAMPLE]:
        pixels = decode_picture(file.path).pixels
        if pixels is not None and pixels.ndim == 3 and np.ptp(pixels, axis=2).any():
            return 3
    return 1
