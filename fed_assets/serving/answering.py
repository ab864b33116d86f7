"""A request's pictures, answered one by one: first how large they are, then what the model says."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from fed_assets.serving.lanes import Lanes
from fed_assets.serving.limits import MOST_PIXELS, MOST_SECONDS
from fed_assets.serving.model import Model
from fed_assets.serving.reading import Refusal, pixels_of

LATE = (
    f"The {MOST_SECONDS:g} s that a request has were over before this picture's turn; send fewer "
    "or smaller ones at once, or try again later."
)


async def answer_files(
    model: Model, files: Sequence[bytes], lanes: Lanes, *, seconds: float = MOST_SECONDS
) -> list[dict[str, Any]]:
    """Returns one entry per file, in their order: what the model says, or why it says nothing.

    Args:
        model: Which one answers, for all of them.
        files: PNG, JPEG or DICOM.
        lanes: Where they take their turns.
        seconds: After so many what is not answered yet is refused by 503.

    Raises:
        Refusal: the pictures have more pixels in all than a request may; none of them was decoded.
    """
    entries: list[dict[str, Any]] = []
    try:
        async with asyncio.timeout(seconds):
            pixels = [await lanes.of(raw).run(pixels_of, raw) for raw in files]
            _require_few(sum(pixels))
            for raw, each in zip(files, pixels, strict=True):
                entries.append(await lanes.of(raw, each).run(model.answer, raw))
    except TimeoutError:
        late = [{"status": 503, "reason": LATE}] * (len(files) - len(entries))
        entries += late
    return [{"index": index, **each} for index, each in enumerate(entries)]


def _require_few(pixels: int) -> None:
    if pixels > MOST_PIXELS:
        raise Refusal(
            413,
            f"The pictures of a request may have {MOST_PIXELS // 10**6} million pixels in all, and "
            f"these have {pixels / 1e6:.1f} million; send them in several requests.",
        )
