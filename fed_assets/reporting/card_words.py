"""What a model card says in words: for what the model is meant, what it may do harm by, its limits.

Every sentence hangs on a record; none is there that the records do not bear out.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

PROTECTED = {
    "none": "Updates left the hospitals as they were trained: weights can tell of the images that "
    "they were trained on.",
    "clip": "Each update was clipped before it left its hospital. That bounds one hospital's sway, "
    "and hides nothing of its images.",
    "differential_privacy": "Training was differentially private: epsilon, per hospital, "
    "bounds what the weights tell of any one training image.",
    "secure_aggregation": "The server saw the sum of the updates and no single one. What the sum "
    "tells of an image is not bounded.",
    "homomorphic_encryption": "The server added up encrypted updates and saw their sum alone. What "
    "the sum tells of an image is not bounded.",
}


def uses_of(lineage: Mapping[str, Any]) -> dict[str, Any]:
    """Returns what the model is for, who would use it, and what it is not for."""
    data = lineage["data"]
    size, channels = data["image_size"], data["channels"]
    kind = "grey" if channels == 1 else f"{channels}-channel"
    return {
        "primary_use": f"telling {' and '.join(data['classes'])} apart on {kind} images of "
        f"{size} by {size} pixels, for research",
        "primary_users": "people who study federated learning on medical images",
        "out_of_scope": [
            "diagnosis, triage, or any other decision about a patient: this is no medical device",
            f"images of another kind, other classes, or more detail than {size} by {size} pixels",
            "hospitals that took no part, until the model has been tested on their images",
        ],
    }


def factors_of(lineage: Mapping[str, Any]) -> dict[str, Any]:
    """Returns by what the figures are told apart, and by what they are not."""
    tested = lineage["evaluation"]["hospitals"]
    regions = {entry["id"]: entry.get("region") or "" for entry in lineage["roster"]}
    return {
        "evaluated": "the hospital, with its region",
        "hospitals": {name: regions.get(name, "") for name in tested},
        "not_evaluated": "age, sex, scanner and severity: no record leaves a hospital by which the "
        "images could be told apart so",
    }


def ethics_of(lineage: Mapping[str, Any]) -> dict[str, Any]:
    """Returns where the data stayed, what protected it, and who withdrew."""
    controls = lineage["controls"]
    protection = controls["update_protection"].removesuffix(" (SIMULATED)")
    spent = {
        name: {"epsilon": gave["epsilon"], "delta": gave["delta"]}
        for name, gave in lineage["hospitals"].items()
        if gave["epsilon"] is not None
    }
    pictures = controls.get("previews") == "yes"
    return {
        "data": "Images, file names and patient ids stayed with each hospital"
        + (", but for small pictures that this sandbox lets be shown" if pictures else "")
        + "; what left is weight updates, counts, digests and metrics.",
        "privacy": PROTECTED.get(protection, f"Protection of updates: {protection}."),
        "epsilon": spent or None,
        "controls": controls,
        "withdrawn": {name: lineage["excluded"][name] for name in lineage["withdrawn"]},
        "consent": "not recorded here: it is each hospital's to have and to show",
    }


def caveats_of(model: Mapping[str, Any], lineage: Mapping[str, Any]) -> dict[str, Any]:
    """Returns what was less than it should have been, and what to do before and after use."""
    caveats = [f"{each['said']}." for each in lineage["shortfalls"]]
    caveats.append(
        "An interval is of the test images alone; it does not cover another hospital, another "
        "scanner or another year."
    )
    caveats.append(
        "Files are read by the same code in training and in the service. A DICOM of more than 8 "
        "bits without a window is stretched to its own range, and a PNG is not: exported "
        "otherwise than it was trained on, an image may get another probability."
    )
    unseen = [
        record["round"]
        for record in lineage["rounds"]
        if any(sent["said"] == "summed unseen" for sent in record["participants"].values())
    ]
    if unseen:
        caveats.append(
            "Updates were summed unseen: no single one can be traced, nor a faulty one found."
        )
    if lineage["resumed_from"]:
        run, last = lineage["resumed_from"]["run"][:8], lineage["resumed_from"]["round"]
        caveats.append(f"The rounds up to {last} were taken over from run {run}, which had failed.")
    return {
        "caveats": caveats,
        "recommendations": [
            "Test it on images of the hospital that would use it, before it is used there.",
            f"Ask `fed-assets trace {model['model']}` what has become of it: a card says what was "
            "known when it was written.",
            "When a hospital withdraws, `fed-assets forget HOSPITAL` retires the model. Nothing "
            "takes a hospital's share out of weights that exist.",
        ],
    }
