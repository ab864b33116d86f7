"""One image per DICOM file of a folder; of its tags only what shapes the pixels is used."""

from __future__ import annotations

import hashlib
import hmac
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from fed_assets.hospital.sources.layout import ImageFile, class_names, list_images
from fed_assets.hospital.sources.picture import read_bytes
from fed_assets.hospital.sources.protocol import UNKNOWN_LABEL, Decoded, Record
from fed_assets.pictures.dicom import read_dicom
from fed_assets.pictures.dicom_file import parse_dicom

SUFFIXES = frozenset({".dcm", ".dicom", ""})


@dataclass(frozen=True)
class Dicom:
    """A folder of DICOM files, listed; nothing of an image is in memory."""

    files: list[ImageFile] = field(repr=False)
    classes: tuple[str, ...]
    salt: bytes = field(repr=False)
    channels: int = 1
    synthetic: bool = False

    def records(self) -> list[Record]:
        """Lists every file, its patient under a pseudonym and its name as a hash."""
        return [self._record(position, file) for position, file in enumerate(self.files)]

    def read(self, records: Sequence[Record]) -> Iterator[Decoded]:
        """Decodes the files of `records` one by one."""
        return (decode_dicom(self.files[record.position].path) for record in records)

    def _record(self, position: int, file: ImageFile) -> Record:
        known = file.class_name in self.classes
        return Record(
            hashlib.sha256(file.image_id.encode()).hexdigest()[:16],
            file.split,
            self.classes.index(file.class_name) if known else UNKNOWN_LABEL,
            _pseudonym(file.path, self.salt),
            position,
        )


def open_dicom(path: Path, *, classes: tuple[str, ...] | None = None, salt: bytes) -> Dicom:
    """Opens `split/class/file` or `class/file` of single-frame grayscale DICOM.

    Args:
        path: The folder.
        classes: Names of class folders in the order of their labels; None takes all, sorted.
        salt: Secret of the hospital: with it a patient's id becomes a pseudonym.

    Raises:
        SourceMissing: There is no such folder.
        SourceCorrupt: Its folders are splits and classes mixed.
        NoImages: It holds no DICOM file.
    """
    files = list_images(path, SUFFIXES)
    return Dicom(files, class_names(files, classes), salt)


def decode_dicom(path: Path) -> Decoded:
    """Decodes one file to 8 bits, see `read_dicom`.

    `sha256` is that of the rendered image, so that a second export of it under other tags still
    counts as a duplicate.
    """
    raw, sha256 = read_bytes(path)
    picture = read_dicom(raw or b"")
    if (pixels := picture.pixels) is not None:
        sha256 = hashlib.sha256(repr(pixels.shape).encode() + pixels.tobytes()).hexdigest()
    return Decoded(pixels, picture.width, picture.height, picture.bit_depth, sha256)


def _pseudonym(path: Path, salt: bytes) -> str | None:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            raw = read_bytes(path)[0] or b""
            header = parse_dicom(raw, ["PatientID"])
        patient = str(header.get("PatientID") or "").strip()
    # A file without a readable header becomes an unreadable image when its pixels are asked for.
    except Exception:
        return None
    return hmac.new(salt, patient.encode(), "sha256").hexdigest()[:24] if patient else None
