"""Hospitals whose images are files in a folder, which tests add to, change and damage."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from fed_assets.hospital.sources.phantom import draw_chest

CLASSES = ("normal", "opacity_1")
SIDE = 28


def draw(path: Path, label: int, seed: int) -> Path:
    """Writes one made-up chest X-ray."""
    path.parent.mkdir(parents=True, exist_ok=True)
    plane = draw_chest(np.random.default_rng(seed), SIDE, label, len(CLASSES))
    Image.fromarray(plane.astype(np.uint8)).save(path)
    return path


def hospital(folder: Path, name: str, *, images: int = 80, seed: int = 0) -> dict[str, Any]:
    """Returns a roster's entry for a hospital with images of its own, after drawing them."""
    for number in range(images):
        label = number % len(CLASSES)
        draw(folder / name / CLASSES[label] / f"{number}.png", label, seed * 10_000 + number)
    return {"id": name, "name": name, "source": {"kind": "folder", "path": str(folder / name)}}


def damaged(path: Path) -> Path:
    """Writes a file that bears a picture's name and ends in its middle."""
    draw(path, 0, 77_777)
    path.write_bytes(path.read_bytes()[:200])
    return path
