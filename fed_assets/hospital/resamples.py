"""What each bootstrap resample of open images came to, so that models can be compared in pairs.

Models that were tested on the same images are right and wrong on many of them together. Whoever has
an interval of each alone cannot tell how far that goes; whoever has the same resamples of each can.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from fed_assets.hospital.metrics import Floats, number_or_none

DIGITS = 6  # of a value: more than 100,000 images could tell
FIRST = 10  # resamples by which those of two models are known for the same


def told_resamples(
    drawn: Mapping[str, Floats], names: Sequence[str], *, images: str, first: Iterable[Floats]
) -> dict[str, Any]:
    """Returns the values of some metrics in each resample, and of what they are.

    Args:
        drawn: of `metrics.drawn_values`.
        names: of metrics.
        images: what says of which images: their digest, and the split.
        first: how often the first resamples drew each image, [some, n] at a time, `FIRST` in all.

    Returns:
        `of`, a digest of the images and of how often the first resamples drew each: where it is
        the same, the resamples of two models are pairs. `values`, by metric a list with one of each
        resample, rounded; None where the metric is not defined in it.
    """
    digest = hashlib.sha256(images.encode())
    for weights in first:
        digest.update(weights.astype("<u4").tobytes())
    return {
        "of": digest.hexdigest(),
        "values": {
            name: [number_or_none(round(each, DIGITS)) for each in drawn[name].tolist()]
            for name in names
        },
    }
