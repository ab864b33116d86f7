"""What leaves of a look at a hospital's source, and of a comparison with its earlier images."""

from __future__ import annotations

from typing import Any

from fed_assets.hospital.small_counts import SUPPRESSED, is_told

LOOKED = ("new", "changed", "removed", "moved", "copies", "unsettled")
LOOK = frozenset({*LOOKED, "settled", "differs", "digest", "mark"})
COMPARED = frozenset({"compared", "why_not", "resembles", "images", "intensity", "labels"})


def disclosed_look(answer: dict[str, Any], below: int) -> dict[str, Any]:
    """Returns a look whose counts are all told or none: with the totals one would give another.

    That something differs is told in any case, or nothing would be taken up.
    """
    told = is_told((answer[name] for name in LOOKED), below)
    return answer | ({} if told else dict.fromkeys(LOOKED, SUPPRESSED))


def disclosed_comparison(answer: dict[str, Any], below: int) -> dict[str, Any]:
    """Returns a comparison without the figures that come of a few images, and without counts.

    Those of grey levels come of all images of a group, those of labels of each class's; which
    classes there are, and how many images of each, is not told at all.
    """
    images = answer["images"]
    return answer | {
        # Present ones less earlier ones would be the new ones.
        "images": images if is_told(images.values(), below) else dict.fromkeys(images, SUPPRESSED),
        "intensity": [_figures(each, below, "images") for each in answer["intensity"]],
        "labels": [_figures(each, below, "counts") for each in answer["labels"]],
    }


def _figures(row: dict[str, Any], below: int, of: str) -> dict[str, Any]:
    told = is_told(row[of], below)
    shown = {name: value for name, value in row.items() if name != of}
    kept = ("group", "quantity", "differs")
    return {name: value if told or name in kept else SUPPRESSED for name, value in shown.items()}
