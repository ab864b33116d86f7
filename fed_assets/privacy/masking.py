"""Masks that fall out of a sum: whoever adds up hospitals' updates sees none of them alone.

Bonawitz et al. 2017, "Practical Secure Aggregation for Privacy-Preserving Machine Learning",
doi:10.1145/3133956.3133982, figure 4, with double masking. In each round hospital u draws two
X25519 keys and a seed b_u. With x_u its update in words (see `fixed_point`) and U2 those who take
part, it sends, modulo 2^32,

    y_u = x_u + PRG(b_u) + sum over v > u of PRG(s_uv) - sum over v < u of PRG(s_uv),   v in U2,

where s_uv is what the mask keys of u and v agree on. In the sum over all of U2 the pairs' masks
cancel. The others hold Shamir shares of b_u and of u's private mask key, any t of which suffice: of
those whose y_u came in they reveal shares of b_u, of those who dropped out shares of the mask key,
never of both. So who is late is not laid bare by a mask key that was given away as he seemed lost.

A server that lies needs t shares of either secret to lay one hospital bare. Each hospital answers
once, so 2 t > n keeps it from both while fewer than 2 t - n hospitals collude with it. The second
key of a hospital, its cipher key, encrypts the shares to its peers. It is never shared out: in the
hands of whoever put a mask key together again, one key for both would open what was sent to its
owner.

PRG is the keystream of AES-256 in counter mode; keys come from HKDF-SHA256 (RFC 5869), bound to
run, round and hospitals, so that no mask is ever used twice and nothing of one round counts in
another.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CTR
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from fed_assets.privacy.chain import canonical, sha256
from fed_assets.privacy.fixed_point import WORD
from fed_assets.privacy.masking_terms import KEY_BYTES
from fed_assets.privacy.shamir import SHARE_BYTES

_NONCE_BYTES, _TAG_BYTES = 12, 16
# Shares of both secrets, and a byte that says what power of two there are images of.
CONTENT_BYTES = 2 * SHARE_BYTES + 1
SEALED_BYTES = _NONCE_BYTES + CONTENT_BYTES + _TAG_BYTES
_PURPOSE = "fed_assets secure aggregation 1"
# A keystream is made and added in pieces that stay in the processor's cache.
_PIECE = 1 << 15


@dataclass(frozen=True)
class Turn:
    """One round of one run; all that is derived in it is bound to it.

    Attributes:
        run: The id of the run's job.
        round_number: Of the round, from 1.
    """

    run: str
    round_number: int

    def label(self, what: str, *names: str) -> bytes:
        """Returns bytes that stand for one use in this turn, and for no other."""
        return canonical([_PURPOSE, self.run, self.round_number, what, *names])

    def mask_of_pair(self, own: str, key: X25519PrivateKey, peer: str, peer_key: bytes) -> bytes:
        """Returns the key of the mask of two hospitals, the same at both.

        Raises:
            ValueError: The peer's public key is none.
        """
        return _derived(_agreed(key, peer_key), self.label("mask", *sorted((own, peer))))

    def mask_of_seed(self, hospital: str, seed: bytes) -> bytes:
        """Returns the key of a hospital's mask of its own."""
        return _derived(seed, self.label("own mask", hospital))

    def commitment(self, hospital: str, seed: bytes) -> str:
        """Returns a digest (hex) by which a seed is known again, and which tells nothing of it."""
        return sha256(self.label("seed", hospital, seed.hex()))

    def seal(
        self, sender: str, key: X25519PrivateKey, receiver: str, peer_key: bytes, content: bytes
    ) -> bytes:
        """Returns content that only the receiver can open, and only as the sender's.

        Raises:
            ValueError: The receiver's public key is none.
        """
        nonce = os.urandom(_NONCE_BYTES)
        cipher = self._cipher(sender, key, receiver, peer_key)
        return nonce + cipher.encrypt(nonce, content, self.label("from, to", sender, receiver))

    def open(
        self, receiver: str, key: X25519PrivateKey, sender: str, peer_key: bytes, sealed: bytes
    ) -> bytes:
        """Returns what `seal` was given at the sender.

        Raises:
            ValueError: The sender did not seal this for the receiver in this turn.
        """
        nonce, content = sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:]
        cipher = self._cipher(receiver, key, sender, peer_key)
        try:
            return cipher.decrypt(nonce, content, self.label("from, to", sender, receiver))
        except InvalidTag as error:
            raise ValueError("it was not sealed by its sender for its receiver") from error

    def _cipher(self, own: str, key: X25519PrivateKey, peer: str, peer_key: bytes) -> AESGCM:
        return AESGCM(_derived(_agreed(key, peer_key), self.label("shares", *sorted((own, peer)))))


def sign_for(own: str, peer: str) -> int:
    """Returns with which sign a hospital adds the mask that it has in common with a peer."""
    return 1 if peer > own else -1


def add_masks(
    words: Mapping[str, np.ndarray[Any, np.dtype[np.uint32]]], masks: Iterable[tuple[bytes, int]]
) -> None:
    """Adds masks to arrays of words in place, modulo 2^32; an array takes what its size needs.

    Args:
        words: Contiguous arrays, which the masks run through in the order of their names.
        masks: Each mask's key of 32 bytes, and its sign.
    """
    streams = [(_keystream(key), sign) for key, sign in masks]
    zeros = bytes(_PIECE * WORD.itemsize)
    made = bytearray(len(zeros) + AES.block_size // 8)  # the package asks for that room
    for name in sorted(words):
        flat = words[name].reshape(-1)
        if not np.shares_memory(flat, words[name]) and flat.size:
            raise ValueError(f"{name} is not contiguous")
        for start in range(0, flat.size, _PIECE):
            piece = flat[start : start + _PIECE]
            for stream, sign in streams:
                stream.update_into(memoryview(zeros)[: piece.nbytes], made)
                mask = np.frombuffer(made, WORD, piece.size)
                (np.add if sign > 0 else np.subtract)(piece, mask, out=piece)


def _keystream(key: bytes) -> Any:
    # The counter begins at zero: each key makes one stream, once.
    return Cipher(AES(key), CTR(bytes(AES.block_size // 8))).encryptor()


def _agreed(key: X25519PrivateKey, peer_key: bytes) -> bytes:
    return key.exchange(X25519PublicKey.from_public_bytes(peer_key))


def _derived(secret: bytes, label: bytes) -> bytes:
    return HKDF(SHA256(), KEY_BYTES, salt=None, info=label).derive(secret)
