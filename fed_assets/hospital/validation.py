"""One verdict on a hospital's current images: its findings, and whether they may be used."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from fed_assets.errors import RosterError
from fed_assets.hospital.dataset import open_dataset
from fed_assets.hospital.expectations import Finding, run_suite
from fed_assets.hospital.files import Store
from fed_assets.hospital.manifest import read_manifest
from fed_assets.hospital.references import keep_reference, reference_of
from fed_assets.hospital.store import IMAGES, MANIFEST, dataset_folder, set_validated
from fed_assets.hospital.tensor_file import check_images

if TYPE_CHECKING:
    import pandas as pd

LIMITS: dict[str, float] = {
    "min_images_per_class": 5,
    "min_images": 20,
    "min_side": 16,
    "max_side": 10_000,
    "min_sd": 1.0,
    "max_class_share": 0.98,
}


def validate_images(arguments: Mapping[str, Any], store: Store) -> dict[str, Any]:
    """Validates the hospital's current images and notes in the store whether they may be used.

    Of those that may, it keeps what later images are compared with; see `references`.

    Args:
        arguments: `expectations`, any of `LIMITS`, and `required_classes`, names of classes of
            which there must be enough (default: all that the data has).
        store: The hospital's store.

    Returns:
        `digest`, `passed` (no error among the findings) and `findings`.

    Raises:
        NoImages: The hospital's images were never prepared.
        RosterError: A limit is unknown.
        StorageError: The outcome cannot be written.
        SealBroken: A file of a sealed store is not what was sealed there.
    """
    limits = _limits(arguments.get("expectations") or {})
    # Until the suite is through, nothing is: a crash in it must not leave an older yes standing.
    set_validated(store, None)
    dataset = open_dataset(store, validated=False)
    folder = dataset_folder(store, dataset.digest)
    check_images(store, folder / IMAGES)
    required = list(arguments.get("required_classes") or dataset.classes)
    with store.open(folder / MANIFEST) as file:
        frame = read_manifest(file).to_pandas()
    _note_unreadable(frame)
    findings = find(frame, classes=dataset.classes, required=required, limits=limits)
    passed = all(finding.passed for finding in findings if finding.severity == "error")
    if passed:
        keep_reference(store, dataset.digest, reference_of(frame, dataset.classes))
        set_validated(store, dataset.digest)
    return {
        "digest": dataset.digest,
        "passed": passed,
        "findings": [asdict(finding) for finding in findings],
    }


def _note_unreadable(manifest: pd.DataFrame) -> None:
    """Names the unreadable images in the hospital's own log, for its data officer alone."""
    for image_id in manifest.loc[~manifest["readable"], "image_id"]:
        print(f"unreadable image: {image_id}", file=sys.stderr)


def find(
    manifest: pd.DataFrame,
    *,
    classes: Sequence[str],
    required: Sequence[str],
    limits: Mapping[str, float],
) -> list[Finding]:
    """Returns what every rule finds in a manifest.

    Args:
        manifest: One row per image, with the columns of `manifest.SCHEMA`.
        classes: Names of the labels, by index.
        required: Classes of which there must be enough.
        limits: All of `LIMITS`.
    """
    return run_suite(
        _derive(manifest),
        _count_classes(manifest, classes, required),
        classes=len(classes),
        limits=limits,
    )


def _derive(manifest: pd.DataFrame) -> pd.DataFrame:
    """Adds the columns that rules across rows need; what a rule must leave out becomes null."""
    frame = manifest.drop(columns=["mean", "bit_depth"])
    readable, measured = frame["readable"], frame["width"] > 0
    sides = frame[["width", "height"]]
    frame["short_side"] = sides.min(axis=1).where(measured)
    frame["long_side"] = sides.max(axis=1).where(measured)
    frame["sd"] = frame["sd"].where(readable)
    by_image, by_patient = frame.groupby("sha256"), frame.groupby("patient")
    frame["splits_of_image"] = by_image["split"].transform("nunique").where(readable)
    frame["splits_of_patient"] = by_patient["split"].transform("nunique").astype("float64")
    frame["earlier_copies"] = frame.groupby(["sha256", "split"]).cumcount().where(readable)
    return frame.drop(columns=["sha256", "patient", "split", "width", "height"])


def _count_classes(
    manifest: pd.DataFrame, classes: Sequence[str], required: Sequence[str]
) -> pd.DataFrame:
    import pandas as pd

    per_label = manifest["label"].value_counts()
    names = list(dict.fromkeys([*classes, *required]))
    images = [
        int(per_label.get(classes.index(name), 0)) if name in classes else 0 for name in names
    ]
    total = max(1, sum(images))
    return pd.DataFrame(
        {
            "required_images": [
                count if name in required else None
                for name, count in zip(names, images, strict=True)
            ],
            "share": [count / total for count in images],
        },
        dtype="float64",
    )


def _limits(given: Mapping[str, float]) -> dict[str, float]:
    unknown = sorted(set(given) - set(LIMITS))
    if unknown:
        raise RosterError(
            "The roster has an unknown expectation",
            where="`expectations`",
            seen=", ".join(unknown),
            cure=f"Choose from {', '.join(LIMITS)}",
        )
    return LIMITS | dict(given)
