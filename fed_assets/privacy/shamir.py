"""A secret in shares, any `threshold` of which give it back, and fewer of which tell nothing.

Shamir 1979, "How to share a secret", doi:10.1145/359168.359176: over a prime field, f is a random
polynomial of degree threshold - 1 with f(0) = secret, holder i of 1, 2, ... gets f(i), and
Lagrange's formula gives f(0) of any threshold of these. The field is that of the Mersenne prime
2^521 - 1, which holds 256-bit secrets with room to spare: nearly every other value of it is longer
than a secret, so a wrong share shows.
"""

from __future__ import annotations

import secrets
from collections.abc import Collection, Mapping

PRIME = 2**521 - 1
SECRET_BYTES = 32
SHARE_BYTES = 66


def split(secret: bytes, threshold: int, holders: Collection[str]) -> dict[str, bytes]:
    """Returns each holder's share of a secret of 32 bytes.

    Raises:
        ValueError: The secret has another length, or no such threshold can be.
    """
    if len(secret) != SECRET_BYTES or not 1 <= threshold <= len(holders):
        raise ValueError("no such secret can be shared in this way")
    rest = [secrets.randbelow(PRIME) for _ in range(threshold - 1)]
    polynomial = [int.from_bytes(secret), *rest]
    return {
        holder: _at(polynomial, place).to_bytes(SHARE_BYTES)
        for holder, place in _places(holders).items()
    }


def combine(shares: Mapping[str, bytes], holders: Collection[str]) -> bytes:
    """Returns the secret of as many shares as its threshold.

    Args:
        shares: A share by its holder.
        holders: All holders among whom the secret was split.

    Raises:
        ValueError: They are not shares of one secret, or too few.
    """
    places = _places(holders)
    points = {places[holder]: int.from_bytes(share) for holder, share in shares.items()}
    secret = 0
    for place, value in points.items():
        above, below = 1, 1
        for other in points.keys() - {place}:
            above = above * other % PRIME
            below = below * (other - place) % PRIME
        secret = (secret + value * above * pow(below, -1, PRIME)) % PRIME
    if secret >> (8 * SECRET_BYTES):
        raise ValueError("these are no shares of one secret")
    return secret.to_bytes(SECRET_BYTES)


def _places(holders: Collection[str]) -> dict[str, int]:
    return {holder: place for place, holder in enumerate(sorted(holders), start=1)}


def _at(polynomial: list[int], place: int) -> int:
    value = 0
    for coefficient in reversed(polynomial):
        value = (value * place + coefficient) % PRIME
    return value
