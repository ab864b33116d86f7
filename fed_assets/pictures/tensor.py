"""One picture as a network takes it: the one resize, of training and of serving."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image


def to_tensor(pixels: NDArray[np.uint8], *, channels: int, size: int) -> NDArray[np.uint8]:
    """Returns an image as uint8 [channels, size, size], C order.

    Bilinear with antialiasing, in Pillow's whole-number arithmetic, which gives the same bytes on
    every machine; an image that has the size already is left bit for bit as it is. The aspect is
    not kept. Colour becomes gray by ITU-R 601, gray becomes three equal channels.
    """
    wanted = 2 if channels == 1 else 3
    if pixels.ndim > wanted:
        pixels = np.asarray(Image.fromarray(pixels).convert("L"))
    if pixels.shape[:2] != (size, size):
        image = Image.fromarray(np.ascontiguousarray(pixels))
        pixels = np.asarray(image.resize((size, size), Image.Resampling.BILINEAR))
    if pixels.ndim < wanted:
        pixels = np.repeat(pixels[:, :, None], 3, axis=2)
    planes = pixels[None] if channels == 1 else pixels.transpose(2, 0, 1)
    return np.ascontiguousarray(planes)
