"""One picture of a few of a hospital's images, for sandboxes that let them be seen."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

from fed_assets.errors import DisclosureRefused, RunConfigError
from fed_assets.hospital.dataset import Dataset, open_dataset
from fed_assets.hospital.files import Store

_TILE = 96
_GAP = 4
_COLUMNS = 8
_MOST = 64


def contact_sheet(arguments: Mapping[str, Any], store: Store, *, previews: bool) -> dict[str, Any]:
    """Draws a contact sheet of the hospital's current images, as many of each class as it can.

    Args:
        arguments: `images`, how many at most (default 24).
        store: The hospital's store.
        previews: Whether the sandbox lets pictures out of the hospital.

    Returns:
        `png_base64`, `images` (how many are on it) and `synthetic`, which also stands on it.

    Raises:
        DisclosureRefused: The sandbox keeps pictures inside.
        NoImages: The hospital's images were never prepared.
        RunConfigError: `images` is not from 1 to 64.
    """
    if not previews:
        raise DisclosureRefused(
            "Pictures do not leave the hospital in this sandbox", where="control `previews`"
        )
    most = int(arguments.get("images", 24))
    if not 1 <= most <= _MOST:
        raise RunConfigError(f"A contact sheet has 1 to {_MOST} images", seen=str(most))
    dataset = open_dataset(store, validated=False)
    rows = _choose(dataset, most)
    png = _draw(dataset, rows)
    return {
        "png_base64": base64.b64encode(png).decode(),
        "images": len(rows),
        "synthetic": dataset.synthetic,
    }


def _choose(dataset: Dataset, most: int) -> list[int]:
    rng = np.random.default_rng(0)
    usable = dataset.readable & (dataset.labels >= 0)
    turns = [
        (turn, label, int(row))
        for label in range(len(dataset.classes))
        for turn, row in enumerate(
            rng.permutation(np.flatnonzero(usable & (dataset.labels == label)))[:most]
        )
    ]
    chosen = sorted(turns)[:most]
    return [row for _, _, row in sorted(chosen, key=lambda each: each[1])]


def _draw(dataset: Dataset, rows: list[int]) -> bytes:
    lines = max(1, -(-len(rows) // _COLUMNS))
    width = _GAP + _COLUMNS * (_TILE + _GAP)
    banner = 18 if dataset.synthetic else 0
    sheet = Image.new("RGB", (width, banner + _GAP + lines * (_TILE + _GAP)), "white")
    if banner:
        ImageDraw.Draw(sheet).text((_GAP, _GAP), "SYNTHETIC DATA", fill="firebrick")
    for place, row in enumerate(rows):
        planes = np.asarray(dataset.images[row])
        pixels = planes[0] if dataset.channels == 1 else planes.transpose(1, 2, 0)
        tile = Image.fromarray(np.ascontiguousarray(pixels)).resize((_TILE, _TILE))
        line, column = divmod(place, _COLUMNS)
        at = (_GAP + column * (_TILE + _GAP), banner + _GAP + line * (_TILE + _GAP))
        sheet.paste(tile.convert("RGB"), at)
    buffer = io.BytesIO()
    sheet.save(buffer, "PNG")
    return buffer.getvalue()
