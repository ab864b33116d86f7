"""One random view per image of a batch, drawn for the whole batch at once."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

ROTATION_DEGREES = 10.0
TRANSLATION = 0.08  # of the image's side
SCALE = 0.10
INTENSITY = 0.10


def augment(pixels: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Returns the batch turned, shifted, scaled and brightened a little, each image on its own.

    Args:
        pixels: float [images, channels, height, width], zero in the middle of the gray scale.
        generator: a CPU generator, so that the draws are the same on every device.

    Returns:
        A new tensor of the same shape; what came from outside an image repeats its border.
    """
    import torch
    from torch.nn import functional

    def draw(bound: float, *shape: int) -> torch.Tensor:
        values = torch.rand(len(pixels), *shape, generator=generator)
        return ((2 * values - 1) * bound).to(pixels.device)

    angle = draw(math.radians(ROTATION_DEGREES))
    scale = 1 + draw(SCALE)
    matrix = torch.empty(len(pixels), 2, 3, device=pixels.device)
    matrix[:, 0, 0] = matrix[:, 1, 1] = torch.cos(angle) * scale
    matrix[:, 1, 0] = torch.sin(angle) * scale
    matrix[:, 0, 1] = -matrix[:, 1, 0]
    matrix[:, :, 2] = 2 * draw(TRANSLATION, 2)  # the grid's side is 2 long
    grid = functional.affine_grid(matrix, list(pixels.shape), align_corners=False)
    moved = functional.grid_sample(
        pixels, grid, mode="bilinear", padding_mode="border", align_corners=False
    )
    return moved * (1 + draw(INTENSITY, 1, 1, 1))
