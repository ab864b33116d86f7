"""Sums of whole numbers that whoever adds them up cannot read: CKKS by TenSEAL.

Cheon et al. 2017, "Homomorphic Encryption for Arithmetic of Approximate Numbers",
doi:10.1007/978-3-319-70694-8_15. Hospitals share one secret key; the server holds none, and can add
ciphertexts. Of the ring's dimension N = 8192 a ciphertext takes N / 2 numbers. Nothing is ever
multiplied, so one prime of 60 bits is enough, and with the one that SEAL sets aside 120 bits of
modulus: at N = 8192, 218 bits still have 128 bits of security (homomorphicencryption.org, 2018).
NVFlare's own default, [60, 40, 40], leaves room for a product, and takes 1.8 times the bytes.

CKKS is approximate, and what it decrypts to tells of its noise: whoever holds a ciphertext and the
approximate result reckons the secret key out of both (Li and Micciancio 2021,
doi:10.1007/978-3-030-77870-5_23). Our server holds the sum's ciphertext and is told the result. So
only whole numbers are encrypted, and results are rounded to whole numbers before anybody sees them:
these the messages alone decide, and no noise is left in them. With the scale 2^18, noise was 0.013
at most for ten hospitals and grows by the square root of their number; 0.5 would be an error, and
0.25 is refused. Sums have to stay within 2^40 = ROOM: 2^58 times the scale, of a prime of 2^60.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from fed_assets.privacy.encryption_terms import CIPHERTEXT_BYTES, SLOTS

POLY_MODULUS_DEGREE = 2 * SLOTS
COEFF_MOD_BIT_SIZES = (60, 60)
SCALE_BITS = 18
ROOM = 2**40
_MOST_NOISE = 0.25

Numbers = np.ndarray[Any, np.dtype[np.int64]]


def read_context(content: bytes, *, secret: bool) -> Any:
    """Returns TenSEAL's context of a file that NVFlare's provisioning has written.

    Args:
        content: The file's.
        secret: Whether it holds the secret key.

    Raises:
        ValueError: It does not, or holds one that it should not, or is no context.
    """
    import tenseal  # takes 0.2 s

    try:
        # A thread: hospitals share a machine, and each has a process.
        context = tenseal.context_from(content, n_threads=1)
    except (ValueError, RuntimeError) as error:
        raise ValueError("no context of TenSEAL") from error
    if context.has_secret_key() != secret:
        raise ValueError("no secret key" if secret else "a secret key that is not the server's")
    return context


def new_key() -> bytes:
    """Returns a new context with a secret key, as provisioning writes it for hospitals."""
    return _new_context(secret=True)


def adding_context() -> bytes:
    """Returns the context by which a server adds up: parameters alone, the same for every key."""
    return _new_context(secret=False)


def _new_context(*, secret: bool) -> bytes:
    import tenseal

    context = tenseal.context(
        tenseal.SCHEME_TYPE.CKKS,
        poly_modulus_degree=POLY_MODULUS_DEGREE,
        coeff_mod_bit_sizes=list(COEFF_MOD_BIT_SIZES),
        encryption_type=tenseal.ENCRYPTION_TYPE.SYMMETRIC,
    )
    context.global_scale = 2**SCALE_BITS
    return bytes(
        context.serialize(
            save_public_key=secret,
            save_secret_key=secret,
            save_galois_keys=False,
            save_relin_keys=False,  # nothing is ever multiplied
        )
    )


def encrypted(context: Any, numbers: Numbers) -> list[bytes]:
    """Returns ciphertexts of whole numbers, [n], each of them within ROOM."""
    import tenseal

    padded = np.zeros(-(-numbers.size // SLOTS) * SLOTS)
    padded[: numbers.size] = numbers
    return [
        bytes(tenseal.ckks_vector(context, padded[start : start + SLOTS]).serialize())
        for start in range(0, padded.size, SLOTS)
    ]


def fault_of(context: Any, ciphertext: object) -> str | None:
    """Says why something cannot be added to ciphertexts of this context, if it cannot.

    Whose key it was made with, and of what numbers, only the secret key shows.
    """
    import tenseal

    if not isinstance(ciphertext, bytes) or len(ciphertext) > 2 * CIPHERTEXT_BYTES:
        return "no ciphertext"
    try:
        vector = tenseal.ckks_vector_from(context, ciphertext)
        inner = vector.ciphertext()
        whole = vector.size() == SLOTS and len(inner) == 1 and inner[0].size() == 2
    except (ValueError, RuntimeError):
        return "no ciphertext of this federation's form"
    if not whole:
        return f"a ciphertext of {vector.size()} numbers in place of {SLOTS}"
    if inner[0].scale != 2.0**SCALE_BITS or inner[0].is_transparent():
        return "a ciphertext of another scale, or that encrypts nothing"
    return None


def added(context: Any, ciphertexts: Iterable[bytes]) -> bytes:
    """Returns the ciphertext of a sum.

    Args:
        context: The federation's; it needs no key.
        ciphertexts: At least one, in which `fault_of` finds no fault.
    """
    import tenseal

    first, *others = ciphertexts
    total = tenseal.ckks_vector_from(context, first)
    for other in others:
        total += tenseal.ckks_vector_from(context, other)
    return bytes(total.serialize())


def decrypted(context: Any, ciphertexts: Sequence[bytes], count: int) -> Numbers:
    """Returns the whole numbers of a sum, [count].

    Raises:
        ValueError: They are none, as of ciphertexts of another key.
    """
    import tenseal

    parts = []
    for ciphertext in ciphertexts:
        if fault := fault_of(context, ciphertext):
            raise ValueError(fault)
        parts.append(np.array(tenseal.ckks_vector_from(context, ciphertext).decrypt()))
    numbers = np.concatenate([*parts, np.zeros(0)])
    if numbers.size < count:
        raise ValueError(f"{numbers.size} numbers in place of {count}")
    whole = np.rint(numbers)
    # Written so that what is not finite fails too.
    if not (np.abs(whole).max() <= ROOM and np.abs(numbers - whole).max() <= _MOST_NOISE):
        raise ValueError("numbers that no sum of updates comes to")
    return np.asarray(whole[:count].astype(np.int64))
