"""One source from its entry in the roster."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from fed_assets.errors import RosterError
from fed_assets.hospital.sources.protocol import Source, Spec

KINDS = ("medmnist", "folder", "dicom", "phantom")


def open_source(spec: Spec, *, classes: Sequence[str] | None = None, salt: bytes = b"") -> Source:
    """Opens the source that a roster entry describes.

    Args:
        spec: `kind`, one of `KINDS`, and what that kind needs: `path` and `md5` for medmnist;
            `path`, `patient_pattern`, `patient_scope` and `channels` for folder; `path` for
            dicom; `images`, `test_images`, `size`, `channels`, `classes` and `seed` for phantom.
        classes: The names that count as known, in the order of their labels; None takes them
            from the data.
        salt: What makes pseudonyms of DICOM patient ids unguessable outside the hospital.

    Raises:
        RosterError: The entry names no kind, an unknown one, or lacks what its kind needs.
        SourceMissing: Nothing lies at the path.
        SourceCorrupt: What lies there is not what the kind says.
        ChecksumMismatch: The file has another md5 than the entry.
        NoImages: There is no image in it.
    """
    kind = spec.get("kind")
    named = tuple(classes) if classes else None
    if kind == "phantom":
        from fed_assets.hospital.sources.phantom import open_phantom

        return open_phantom(spec, classes=named)
    if kind not in KINDS:
        raise RosterError(
            "A source has an unknown kind",
            where="`source.kind` in the roster",
            seen=str(kind),
            cure=f"Choose one of {', '.join(KINDS)}",
        )
    if not spec.get("path"):
        raise RosterError(f"A source of kind {kind} has no path", where="`source.path`")
    path = Path(spec["path"])
    if kind == "medmnist":
        from fed_assets.hospital.sources.medmnist import open_medmnist

        return open_medmnist(path, classes=named, md5=spec.get("md5"))
    if kind == "dicom":
        from fed_assets.hospital.sources.dicom import open_dicom

        return open_dicom(path, classes=named, salt=salt)
    from fed_assets.hospital.sources.folder import open_folder

    return open_folder(
        path,
        classes=named,
        patient_pattern=spec.get("patient_pattern"),
        patient_scope=spec.get("patient_scope", "dataset"),
        channels=spec.get("channels"),
    )
