from __future__ import annotations

import os

import numpy as np
import pytest

from fed_assets.privacy.encrypted_sums import (
    ROOM,
    added,
    decrypted,
    encrypted,
    fault_of,
    read_context,
)
from fed_assets.privacy.encryption_terms import CIPHERTEXT_BYTES, SLOTS
from fed_assets_tests.privacy.ckks_contexts import files, hospitals_context, servers_context


def sum_of(rows: list[np.ndarray]) -> list[bytes]:
    ciphertexts = [encrypted(hospitals_context(), row) for row in rows]
    return [added(servers_context(), column) for column in zip(*ciphertexts, strict=True)]


@pytest.mark.parametrize("size", [1, SLOTS - 1, SLOTS, SLOTS + 1, 3 * SLOTS + 7])
def test_a_sum_is_exact_up_to_all_the_room_there_is(size: int) -> None:
    rng = np.random.default_rng(size)
    rows = [rng.integers(0, ROOM // 10, size) for _ in range(9)]
    whole = [*rows, ROOM - sum(rows)]
    assert (decrypted(hospitals_context(), sum_of(whole), size) == ROOM).all()
    below = [-row for row in whole]
    assert (decrypted(hospitals_context(), sum_of(below), size) == -ROOM).all()
    rows.append(rng.integers(-9, 9, size))
    assert np.array_equal(decrypted(hospitals_context(), sum_of(rows), size), sum(rows))


def test_the_sum_of_a_hundred_is_exact_too() -> None:
    rng = np.random.default_rng(0)
    rows = [rng.integers(-ROOM // 100, ROOM // 100, SLOTS) for _ in range(100)]
    assert np.array_equal(decrypted(hospitals_context(), sum_of(rows), SLOTS), sum(rows))


def test_what_decryption_tells_holds_no_noise_though_ciphertexts_do() -> None:
    numbers = np.arange(SLOTS)
    one, other = (encrypted(hospitals_context(), numbers) for _ in range(2))
    assert one != other
    told = [decrypted(hospitals_context(), each, SLOTS).tobytes() for each in (one, other)]
    assert told[0] == told[1] == numbers.tobytes()


def test_the_server_has_nothing_to_decrypt_or_encrypt_with() -> None:
    ciphertexts = encrypted(hospitals_context(), np.arange(5))
    assert not servers_context().has_secret_key()
    with pytest.raises(ValueError, match="secret_key"):
        decrypted(servers_context(), ciphertexts, 5)
    with pytest.raises(ValueError, match="doesn't support encryption"):
        encrypted(servers_context(), np.arange(5))


def test_a_context_of_the_wrong_side_is_refused() -> None:
    hospital, server = files()
    with pytest.raises(ValueError, match="a secret key that is not the server's"):
        read_context(hospital, secret=False)
    with pytest.raises(ValueError, match="no secret key"):
        read_context(server, secret=True)
    for content in (b"", b"no context", hospital[:1000]):
        with pytest.raises(ValueError, match=r"no context|no secret key"):
            read_context(content, secret=True)


def test_a_ciphertext_is_as_large_as_it_is_said_to_be() -> None:
    (ciphertext,) = encrypted(hospitals_context(), np.arange(SLOTS))
    assert 0.99 * CIPHERTEXT_BYTES < len(ciphertext) <= CIPHERTEXT_BYTES
    assert fault_of(servers_context(), ciphertext) is None


def another_form() -> bytes:
    import tenseal

    context = tenseal.context(
        tenseal.SCHEME_TYPE.CKKS, 4096, coeff_mod_bit_sizes=[54, 54], n_threads=1
    )
    return bytes(tenseal.ckks_vector(context, [1.0] * 2048, scale=2**18).serialize())


def of(values: int, scale: int = 2**18) -> bytes:
    import tenseal

    vector = tenseal.ckks_vector(hospitals_context(), [1.0] * values, scale=scale)
    return bytes(vector.serialize())


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (lambda good: b"", "0 numbers"),
        (lambda good: None, "no ciphertext"),
        (lambda good: os.urandom(len(good)), "no ciphertext of this federation's form"),
        (lambda good: good[:-100], "no ciphertext of this federation's form"),
        (lambda good: good + good, "8192 numbers in place of 4096"),
        (lambda good: good * 3, "no ciphertext"),
        (lambda good: of(100), "100 numbers in place of 4096"),
        (lambda good: of(SLOTS, 2**30), "another scale"),
        (lambda good: another_form(), "no ciphertext of this federation's form"),
    ],
)
def test_what_cannot_be_added_is_told_apart(content, fault: str) -> None:
    (good,) = encrypted(hospitals_context(), np.arange(SLOTS))
    assert fault in (fault_of(servers_context(), content(good)) or "")


def test_hostile_bytes_never_do_more_than_be_refused_or_spoil_the_sum() -> None:
    (good,) = encrypted(hospitals_context(), np.arange(SLOTS))
    rng, refused = np.random.default_rng(1), 0
    for turn in range(100):
        bad = np.frombuffer(good, np.uint8).copy()
        places = rng.integers(0, len(bad) if turn % 2 else 400, 3)
        bad[places] ^= rng.integers(1, 256, 3, dtype=np.uint8)
        if fault_of(servers_context(), bad.tobytes()):
            refused += 1
        else:
            added(servers_context(), [good, bad.tobytes()])
    assert 20 < refused < 100


def test_the_sum_with_a_ciphertext_of_another_key_decrypts_to_nothing() -> None:
    foreign = encrypted(hospitals_context("another"), np.arange(SLOTS))
    own = encrypted(hospitals_context(), np.arange(SLOTS))
    assert fault_of(servers_context(), foreign[0]) is None  # the server cannot tell
    total = [added(servers_context(), [own[0], foreign[0]])]
    with pytest.raises(ValueError, match="numbers that no sum of updates comes to"):
        decrypted(hospitals_context(), total, SLOTS)
    with pytest.raises(ValueError, match="4096 numbers in place of 5000"):
        decrypted(hospitals_context(), own, 5000)
    with pytest.raises(ValueError, match="0 numbers in place of 1"):
        decrypted(hospitals_context(), [], 1)
