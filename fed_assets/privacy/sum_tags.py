"""By what hospitals know that a sum is one of updates of theirs, and of whose, before they tell it.

They share a key that the server has not, and a ciphertext can be added up by anybody: asked to
decrypt a "sum", a hospital could be handed a single update. So each encrypts a number with its
update, its tag. With x_u the update as whole numbers, modulo the prime p = 2^31 - 1,

    tag_u = <r, x_u> + s_u,

where the vector r and each s_u are drawn from the shared key, for one round of one run. Tags add up
as updates do. For the sum x over hospitals S the tags' sum is <r, x> + (the sum of s_u over S), and
nobody without the key can make one for anything else out of ciphertexts that he can add and scale,
but by a guess that holds once in p times: a linearly homomorphic MAC (Agrawal and Boneh 2009,
doi:10.1007/978-3-642-01957-9_18). Nor does the sum pass if one ciphertext in it is of another key.

Who is told the sums over two sets of hospitals of one round can subtract. So each hospital gives
its word for one set S in a round, bytes that HKDF makes of the key and whoever shares it can check,
and none decrypts a sum without the words of more than half of all hospitals for its S: for two sets
there are not enough.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CTR
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from fed_assets.privacy.encryption_terms import WORD_BYTES
from fed_assets.privacy.masking import Turn

PRIME = 2**31 - 1
_KEY_BYTES = 32

Numbers = np.ndarray[Any, np.dtype[np.int64]]


@dataclass(frozen=True)
class SumTags:
    """Makes and checks the tags of one round.

    Attributes:
        secret: What hospitals share, and nobody else has.
        turn: The round.
    """

    secret: bytes = field(repr=False)
    turn: Turn

    def tag(self, hospital: str, numbers: Numbers) -> int:
        """Returns a hospital's tag of its numbers, from 0 to `PRIME` - 1."""
        return (self._product(numbers) + self._own(hospital)) % PRIME

    def holds(self, tags: int, hospitals: Iterable[str], numbers: Numbers) -> bool:
        """Returns whether numbers are the sum of those of these hospitals, each once.

        Args:
            tags: The sum of their tags.
            hospitals: Their ids.
            numbers: The sum.
        """
        expected = self._product(numbers) + sum(self._own(name) for name in hospitals)
        return tags % PRIME == expected % PRIME

    def word(self, hospital: str, hospitals: Iterable[str]) -> bytes:
        """Returns a hospital's word that the sum of the round is that over these hospitals."""
        return self._derived(WORD_BYTES, "word", hospital, *sorted(hospitals))

    def _product(self, numbers: Numbers) -> int:
        drawn = self._drawn("of all", numbers.size)
        return int((drawn * np.mod(numbers, PRIME) % PRIME).sum() % PRIME)

    def _own(self, hospital: str) -> int:
        return int(self._drawn("of one", 1, hospital)[0])

    def _drawn(self, what: str, count: int, *names: str) -> Numbers:
        """Returns numbers of 31 bits, as good as uniform modulo `PRIME`."""
        key = self._derived(_KEY_BYTES, f"tag {what}", *names)
        # The counter begins at zero: each key makes one stream, once.
        stream = Cipher(AES(key), CTR(bytes(AES.block_size // 8))).encryptor()
        words = np.frombuffer(stream.update(bytes(4 * count)), "<u4")
        return words.astype(np.int64) & PRIME

    def _derived(self, size: int, what: str, *names: str) -> bytes:
        info = self.turn.label(what, *names)
        return HKDF(SHA256(), size, salt=None, info=info).derive(self.secret)
