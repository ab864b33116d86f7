"""The network that goals are set on: four convolutions, two layers, 105,538 parameters.

Plain PyTorch, so that no arm has to import MONAI, which takes seconds. A bare loop over ten
hospitals takes some 1.6 s a round, as the loop did that the goals were set with.
"""

from __future__ import annotations

from torch import nn


class SmallCnn(nn.Sequential):
    """Scores `classes` of images of any size."""

    def __init__(self, channels: int, classes: int) -> None:
        super().__init__(
            *_convolve(channels, 16),
            nn.MaxPool2d(2),
            *_convolve(16, 32),
            nn.MaxPool2d(2),
            *_convolve(32, 64),
            *_convolve(64, 128),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Linear(128, 64),
            nn.ReLU(),
            nn.Linear(64, classes),
        )


def _convolve(into: int, out: int) -> tuple[nn.Module, nn.Module]:
    return nn.Conv2d(into, out, 3, padding=1), nn.ReLU()
