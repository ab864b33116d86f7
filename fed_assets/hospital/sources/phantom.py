"""One made-up chest X-ray per number: for machines with neither data nor network."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from fed_assets.errors import RosterError
from fed_assets.hospital.sources.protocol import Decoded, Record, Spec

Plane = NDArray[np.float32]

_SPLIT_SEEDS = {"train": 0, "test": 1}
_NORMAL_SHARE = 0.4
_NEW_PATIENT = 0.6
_TINT = np.array([1.0, 0.96, 0.9], np.float32)


@dataclass(frozen=True)
class Phantom:
    """A set of images that are drawn when they are read; it takes no room."""

    images: int
    test_images: int
    size: int
    channels: int
    classes: tuple[str, ...]
    seed: int
    synthetic: bool = True

    def records(self) -> list[Record]:
        """Lists every image; a patient has one label and, in the mean, 1.7 images."""
        return [
            Record(f"{split}-{position:07d}", split, int(label), f"{split}-{patient}", position)
            for split, count in (("train", self.images), ("test", self.test_images))
            for position, (label, patient) in enumerate(self._drawn(split, count))
        ]

    def read(self, records: Sequence[Record]) -> Iterator[Decoded]:
        """Draws the images of `records`; the same seed and position give the same pixels."""
        for record in records:
            entropy = [self.seed, _SPLIT_SEEDS[record.split], 1 + record.position]
            plane = draw_chest(
                np.random.default_rng(entropy), self.size, record.label, len(self.classes)
            )
            if self.channels == 3:
                plane = plane[..., None] * _TINT
            pixels = plane.astype(np.uint8)
            sha256 = hashlib.sha256(pixels.tobytes()).hexdigest()
            yield Decoded(pixels, self.size, self.size, 8, sha256)

    def _drawn(self, split: str, count: int) -> list[tuple[int, int]]:
        rng = np.random.default_rng([self.seed, _SPLIT_SEEDS[split], 0])
        patients = np.cumsum(rng.random(count) < _NEW_PATIENT)
        others = len(self.classes) - 1
        shares = [_NORMAL_SHARE] + [(1 - _NORMAL_SHARE) / others] * others
        labels = rng.choice(len(self.classes), size=count + 1, p=shares)
        return [(int(labels[patient]), int(patient)) for patient in patients]


def open_phantom(spec: Spec, *, classes: tuple[str, ...] | None = None) -> Phantom:
    """Describes a synthetic set.

    Args:
        spec: `images` (default 5232), `test_images` (624), `size` in pixels (28), `channels`
            (1 or 3), `classes` (how many, at least 2), `seed` (0).
        classes: Names of the classes; None names them normal, opacity_1, opacity_2 and on.

    Raises:
        RosterError: A number is out of range, or there are more or fewer names than classes.
    """
    count = _whole(spec, "classes", len(classes) if classes else 2, low=2, high=100)
    if classes and len(classes) != count:
        raise RosterError(
            "The phantom has another number of classes than names",
            where="`source.classes` and `classes`",
            seen=f"{count} classes, {len(classes)} names",
        )
    channels = _whole(spec, "channels", 1, low=1, high=3)
    if channels == 2:
        raise RosterError("Images have 1 or 3 channels", where="`source.channels`", seen="2")
    return Phantom(
        images=_whole(spec, "images", 5232, low=1, high=10_000_000),
        test_images=_whole(spec, "test_images", 624, low=0, high=10_000_000),
        size=_whole(spec, "size", 28, low=8, high=1024),
        channels=channels,
        classes=classes or ("normal", *(f"opacity_{n}" for n in range(1, count))),
        seed=_whole(spec, "seed", 0, low=0, high=2**63),
    )


def draw_chest(rng: np.random.Generator, size: int, label: int, classes: int) -> Plane:
    """Draws one frontal chest: two lungs with ribs, spine, heart, diaphragm and noise.

    Label 0 is healthy, save for a faint shadow now and then. Any other label has two to five
    opacities, each label in its own zone of the lungs from top to bottom. Every term is a product
    of a row and a column, which makes an image of 224 x 224 cost well under a millisecond.

    Args:
        rng: Of this image alone.
        size: Pixels a side.
        label: From 0 to `classes` - 1.
        classes: How many labels there are.

    Returns:
        Brightness from 0 to 255, float32 [size, size].
    """
    axis, square = _axis(size)
    jitter = rng.normal(0.0, 1.0, 16).astype(np.float32)
    x, y = axis - 0.04 * jitter[0], axis - 0.05 * jitter[1]
    width, height = 0.29 + 0.02 * jitter[2], 0.62 + 0.04 * jitter[3]
    lungs = _ellipse(x + 0.42, y + 0.05, width, height)
    lungs += _ellipse(x - 0.42, y + 0.05, width * (0.94 + 0.03 * jitter[4]), height)
    plane = np.outer(0.68 - 0.12 * square, 1.0 - 0.3 * square)
    plane -= (0.4 + 0.04 * jitter[5]) * lungs
    beat, bend = 19.0 + jitter[6], 3.0 + 0.4 * jitter[7]
    phase = beat * y + 3.0 * jitter[8]
    ribs = np.outer(np.sin(phase), np.cos(bend * square))
    ribs += np.outer(np.cos(phase), np.sin(bend * square))
    plane += 0.07 * ribs * lungs
    plane += 0.08 * np.exp(-((x / 0.07) ** 2))[None, :]
    plane += 0.18 * _ellipse(x - 0.13, y - 0.32, 0.3 + 0.03 * jitter[9], 0.27 + 0.02 * jitter[10])
    plane += 0.2 / (1.0 + np.exp(-14.0 * (y - 0.66)))[:, None]
    plane += _opacities(rng, x, y, label, classes) * lungs
    plane *= 0.95 + 0.07 * jitter[11]
    plane += 0.03 * jitter[12]
    noise = rng.integers(0, 256, (size, size), dtype=np.uint8).astype(np.float32)
    plane += (noise - 127.5) * np.float32(0.0006 + 0.0001 * abs(jitter[13]))
    return np.asarray((plane * 255.0).clip(0.0, 255.0), np.float32)


def _opacities(rng: np.random.Generator, x: Plane, y: Plane, label: int, classes: int) -> Plane:
    healthy = label == 0
    count = int(rng.integers(0, 2) if healthy else rng.integers(2, 6))
    low, high = (0.04, 0.12) if healthy else (0.1, 0.26)
    top, depth = (0.0, 1.0) if healthy else ((label - 1) / (classes - 1), 1.0 / (classes - 1))
    shadow = np.zeros((len(y), len(x)), np.float32)
    for _ in range(count):
        side, across, down, strength, wide, tall = rng.random(6)
        at_x = (0.42 if side < 0.5 else -0.42) + 0.3 * (across - 0.5)
        at_y = -0.5 + 0.95 * (top + depth * down)
        column = np.exp(-(((y - at_y) / (0.08 + 0.12 * tall)) ** 2))
        row = np.exp(-(((x - at_x) / (0.08 + 0.12 * wide)) ** 2))
        shadow += np.float32(low + (high - low) * strength) * np.outer(column, row)
    return shadow


def _ellipse(x: Plane, y: Plane, width: float, height: float) -> Plane:
    # A soft edge, 1 / (1 + exp(9 (r^2 - 1))), with the exponential split into row and column;
    # the exponents are bounded because float32 ends at exp(88).
    column = np.exp(np.minimum(9.0 * (y / height) ** 2 - 9.0, 40.0))
    row = np.exp(np.minimum(9.0 * (x / width) ** 2, 40.0))
    edge = np.outer(column, row)
    edge += 1.0
    return np.reciprocal(edge, out=edge)


@lru_cache(maxsize=8)
def _axis(size: int) -> tuple[Plane, Plane]:
    axis = np.linspace(-1.0, 1.0, size, dtype=np.float32)
    return axis, axis**2


def _whole(spec: Spec, key: str, default: int, *, low: int, high: int) -> int:
    value = spec.get(key, default)
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
        raise RosterError(
            "A number of the phantom is out of range",
            where=f"`source.{key}`",
            seen=str(value),
            cure=f"Give a whole number from {low} to {high}",
        )
    return value
