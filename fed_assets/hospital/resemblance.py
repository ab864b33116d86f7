"""Whether the hospital's current images resemble those that a model learned from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fed_assets.hospital.dataset import open_dataset
from fed_assets.hospital.drift import groups, intensity_shift, label_shift
from fed_assets.hospital.files import Store
from fed_assets.hospital.manifest import read_manifest
from fed_assets.hospital.references import kept_reference, reference_of
from fed_assets.hospital.store import MANIFEST, dataset_folder

LIMITS = {"p_value": 0.01, "intensity": 0.2, "labels": 0.1, "least_images": 20}
NOTHING_KEPT = "nothing is kept of the images that the model learned from"
TOO_FEW = "there are too few images to compare"


def compare_images(arguments: Mapping[str, Any], store: Store) -> dict[str, Any]:
    """Compares the hospital's current images, and the new ones of them, with earlier ones.

    Args:
        arguments: `reference`, the digest of the earlier images, which this hospital had let
            through; `limits`, any of `LIMITS`: below which `p_value` a difference is no chance,
            from which statistic of grey levels (`intensity`) and which stability index of `labels`
            on it is large, and how many images are needed at least.
        store: The hospital's store.

    Returns:
        `compared`, and if not, `why_not`; `resembles`, whether nothing differs; `images`, how many
        there are `earlier`, at `present` and of these `new`; `intensity` and `labels`, a row per
        `group` and quantity, see `drift`.

    Raises:
        NoImages: The hospital's images were never prepared.
        SealBroken: A file of a sealed store is not what was sealed there.
        StorageError: A file of the dataset cannot be read.
    """
    limits = LIMITS | dict(arguments.get("limits") or {})
    dataset = open_dataset(store, validated=False)
    with store.open(dataset_folder(store, dataset.digest) / MANIFEST) as file:
        present = reference_of(read_manifest(file).to_pandas(), dataset.classes)
    earlier = kept_reference(store, str(arguments.get("reference")))
    if earlier is None:
        return _nothing(NOTHING_KEPT)
    least = int(limits["least_images"])
    found = groups(earlier, present, least)
    if len(earlier.label) < least or not found:
        return _nothing(TOO_FEW)
    intensity = [
        {"group": name, **row}
        for name, group in found.items()
        for row in intensity_shift(earlier, group, limits)
    ]
    labels = [
        {"group": name, **label_shift(earlier, group, limits)} for name, group in found.items()
    ]
    known = set(earlier.content)
    return {
        "compared": True,
        "why_not": "",
        "resembles": not any(row["differs"] for row in (*intensity, *labels)),
        "images": {
            "earlier": len(earlier.label),
            "present": len(present.label),
            "new": sum(each not in known for each in present.content),
        },
        "intensity": intensity,
        "labels": labels,
    }


def _nothing(reason: str) -> dict[str, Any]:
    return {
        "compared": False,
        "why_not": reason,
        "resembles": True,
        "images": {},
        "intensity": [],
        "labels": [],
    }
