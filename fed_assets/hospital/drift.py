"""Whether images resemble earlier ones: their grey levels and their labels, by well-known tests.

Grey levels: the two-sample test of Kolmogorov and Smirnov on the images' means and on their
standard deviations. Labels: the population stability index (0.1 is held for a small shift, 0.25 for
a large one) and the distance of Jensen and Shannon, beside the chi-squared test. With thousands of
images any test finds a difference that matters to nobody, and with few an index is large by chance:
so images differ where a test says that it is no chance *and* the effect is large.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fed_assets.hospital.references import Reference

GREY_LEVELS = ("mean", "sd")
ALL, NEW = "all images", "new images"
# Half an image is added to each class: an index of a class that one side has not is infinite.
_HALF = 0.5


def groups(earlier: Reference, present: Reference, least: int) -> dict[str, Reference]:
    """Returns what is compared with the earlier images: all, and those that are new among them.

    A few new images among thousands would hardly move the whole. Fewer than `least` show nothing.
    """
    known = set(earlier.content)
    new = np.array([each not in known for each in present.content], np.bool_)
    found = {ALL: present, NEW: present.only(new)}
    return {name: group for name, group in found.items() if len(group.label) >= least}


def intensity_shift(
    earlier: Reference, group: Reference, limits: Mapping[str, float]
) -> list[dict[str, Any]]:
    """Returns a row per quantity: how far grey levels lie from the earlier ones.

    Returns:
        `quantity`; `statistic`, the largest distance between the two distributions, from 0 to 1,
        which is the effect too; `p_value`; `shift` of the median, in grey levels; `differs`; and
        `images`, how many there are on each side.
    """
    from scipy.stats import ks_2samp

    rows = []
    for quantity in GREY_LEVELS:
        before, now = getattr(earlier, quantity), getattr(group, quantity)
        test = ks_2samp(before, now)
        statistic, p_value = float(test.statistic), float(test.pvalue)
        rows.append(
            {
                "quantity": quantity,
                "statistic": round(statistic, 4),
                "p_value": p_value,
                "shift": round(float(np.median(now) - np.median(before)), 2),
                "differs": p_value < limits["p_value"] and statistic >= limits["intensity"],
                "images": [len(before), len(now)],
            }
        )
    return rows


def label_shift(
    earlier: Reference, group: Reference, limits: Mapping[str, float]
) -> dict[str, Any]:
    """Returns how far the shares of the classes lie from the earlier ones.

    Returns:
        `stability_index`, `jensen_shannon` from 0 to 1, `p_value`, `differs`, and `counts`, how
        many images of each class there are on each side.
    """
    from scipy.spatial.distance import jensenshannon
    from scipy.stats import chi2_contingency

    before, now = _counts(earlier, group)
    there = np.flatnonzero(before + now)
    p_value = 1.0
    if len(there) > 1:
        p_value = float(chi2_contingency(np.stack([before, now])[:, there]).pvalue)
    p, q = ((each + _HALF) / (each + _HALF).sum() for each in (before, now))
    index = float(((q - p) * np.log(q / p)).sum())
    return {
        "quantity": "labels",
        "stability_index": round(index, 4),
        "jensen_shannon": round(float(jensenshannon(p, q, base=2)), 4),
        "p_value": p_value,
        "differs": p_value < limits["p_value"] and index >= limits["labels"],
        "counts": [int(count) for count in (*before, *now)],
    }


def _counts(earlier: Reference, group: Reference) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Returns the images of each class on both sides; classes are the same by their names."""
    names = list(dict.fromkeys([*earlier.classes, *group.classes]))
    found = []
    for side in (earlier, group):
        place = np.array([names.index(name) for name in side.classes], np.int64)
        found.append(np.bincount(place[side.label], minlength=len(names)))
    return found[0], found[1]
