"""Random draws that nobody outside can repeat: AES in counter mode, with a key from the system.

torch seeds its generator on a CPU with 32 bits: whoever knows what noise was added to could try
them all, and take the noise away again. Noise for privacy, and who is drawn into a batch, come from
here, and never from a federation's seed.
"""

from __future__ import annotations

import secrets

import numpy as np
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CTR
from numpy.typing import NDArray

KEY_BYTES = 32
NUMBER_BYTES = 8
# The last bits of one draw can tell which it was, and what it was added to; those of a sum of four
# do not (Holohan and Braghin 2021, arXiv:2107.10138, section 5.1).
ADDED = 4


class SecretDraws:
    """Draws numbers from a key that it draws for itself and tells nobody."""

    def __init__(self) -> None:
        key, first = secrets.token_bytes(KEY_BYTES), secrets.token_bytes(AES.block_size // 8)
        self._stream = Cipher(AES(key), CTR(first)).encryptor()

    def uniform(self, count: int) -> NDArray[np.float64]:
        """Returns numbers above 0 and up to 1, each a multiple of 2**-53."""
        stream = self._stream.update(bytes(count * NUMBER_BYTES))
        whole = np.frombuffer(stream, "<u8") >> np.uint64(11)
        return (whole.astype(np.float64) + 1.0) * 2.0**-53

    def normal(self, count: int) -> NDArray[np.float64]:
        """Returns numbers of the standard normal distribution, each the sum of four, halved."""
        return np.asarray(self._box_muller(ADDED * count).reshape(ADDED, count).sum(axis=0) / 2)

    def _box_muller(self, count: int) -> NDArray[np.float64]:
        # Box and Muller 1958, Annals of Mathematical Statistics 29:610.
        pairs = (count + 1) // 2
        radius = np.sqrt(-2.0 * np.log(self.uniform(pairs)))
        angle = 2.0 * np.pi * self.uniform(pairs)
        return np.concatenate([radius * np.cos(angle), radius * np.sin(angle)])[:count]

    def poisson_batch(self, images: int, sample_rate: float) -> NDArray[np.int64]:
        """Returns the positions of a batch into which each image came by its own toss, or none."""
        return np.flatnonzero(self.uniform(images) <= sample_rate)
