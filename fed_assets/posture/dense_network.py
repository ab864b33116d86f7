"""A network whose first layer is dense, as a server may ask hospitals to train it.

Its gradient with respect to that layer is an outer product: of what the image is, and of how each
unit's output should change. That makes it the easiest to read an image from.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fed_assets.federation.weights import Weights

Floats = NDArray[np.float64]
Images = NDArray[np.uint8]
Labels = NDArray[np.int64]
SIDE, UNITS, CLASSES = 16, 64, 2
PIXELS = SIDE * SIDE
# As the roster's `network` would say it.
CONFIG: Mapping[str, Any] = {
    "_target_": "monai.networks.nets.FullyConnectedNet",
    "in_channels": PIXELS,
    "out_channels": "@classes",
    "hidden_channels": [UNITS],
}
# Its arrays, in the order in which its parameters are trained.
FIRST, FIRST_BIAS, SLOPE, LAST, LAST_BIAS = (
    "hidden_0.0.weight",
    "hidden_0.0.bias",
    "hidden_0.1.A.weight",
    "output.weight",
    "output.bias",
)
_SHAPES = {
    FIRST: (UNITS, PIXELS),
    FIRST_BIAS: (UNITS,),
    SLOPE: (1,),
    LAST: (CLASSES, UNITS),
    LAST_BIAS: (CLASSES,),
}
SIZE = sum(int(np.prod(shape)) for shape in _SHAPES.values())


def initial_weights(seed: int) -> Weights:
    """Returns seeded weights, drawn as PyTorch draws those of dense layers."""
    noise = np.random.default_rng(seed)
    weights = {}
    for name, shape in _SHAPES.items():
        bound = 1 / np.sqrt(PIXELS if name in (FIRST, FIRST_BIAS) else UNITS)
        drawn = noise.uniform(-bound, bound, shape)
        weights[name] = (np.full(shape, 0.25) if name == SLOPE else drawn).astype(np.float32)
    return weights


def is_of(arrays: Mapping[str, NDArray[Any]], dtype: Any) -> bool:
    """Says whether arrays have this network's form, and one dtype; there may be more of them."""
    return all(
        name in arrays and (arrays[name].shape, arrays[name].dtype) == (shape, np.dtype(dtype))
        for name, shape in _SHAPES.items()
    )


def flat(weights: Mapping[str, NDArray[Any]]) -> Floats:
    """Returns all weights as one vector [SIZE].

    Raises:
        KeyError: They are not this network's.
    """
    return np.concatenate([np.ravel(weights[name]).astype(np.float64) for name in _SHAPES])


def parts(vector: Floats) -> dict[str, Floats]:
    """Returns the arrays that `flat` made a vector of."""
    ends = np.cumsum([int(np.prod(shape)) for shape in _SHAPES.values()])
    pieces = np.split(vector, ends[:-1])
    return {
        name: piece.reshape(shape)
        for (name, shape), piece in zip(_SHAPES.items(), pieces, strict=True)
    }


def losses(vector: Floats, images: Images, labels: Labels) -> Floats:
    """Returns the cross-entropy of each image [n] under weights [SIZE], as hospitals reckon it.

    Args:
        vector: The weights.
        images: [n, SIDE, SIDE].
        labels: [n].
    """
    weights = parts(vector)
    pixels = (images.reshape(len(images), PIXELS) - 127.5) / 63.75  # as hospitals scale them
    hidden = pixels @ weights[FIRST].T + weights[FIRST_BIAS]
    hidden = np.where(hidden > 0, hidden, weights[SLOPE] * hidden)
    scores = hidden @ weights[LAST].T + weights[LAST_BIAS]
    own = np.take_along_axis(scores, labels[:, None], axis=1)[:, 0]
    return np.asarray(np.logaddexp.reduce(scores, axis=1) - own)
