from __future__ import annotations

import numpy as np

from fed_assets.pictures.tensor import to_tensor
from fed_assets_tests.hospital.samples import noise


def test_a_tensor_of_the_right_size_is_left_as_it_is() -> None:
    gray, colour = noise((9, 9)), noise((9, 9, 3))
    assert np.array_equal(to_tensor(gray, channels=1, size=9)[0], gray)
    assert np.array_equal(to_tensor(colour, channels=3, size=9), colour.transpose(2, 0, 1))
    assert to_tensor(colour, channels=1, size=9).shape == (1, 9, 9)
    assert np.array_equal(to_tensor(gray, channels=3, size=9)[2], gray)


def test_shrinking_averages_what_lies_under_a_pixel() -> None:
    checkered = np.indices((64, 64)).sum(axis=0).astype(np.uint8) % 2 * 255
    small = to_tensor(checkered, channels=1, size=8)
    assert np.abs(small.astype(int) - 127).max() <= 8
