from __future__ import annotations

import struct

import numpy as np

from fed_assets.posture.canaries import ARRAY, AUROC, canary
from fed_assets.posture.tampering import flipped, negated, rewritten
from fed_assets.privacy.digests import weights_digest

HONEST = struct.pack(">d", AUROC)
UPDATE = canary(seed=7, round_number=3)
MESSAGE = b"head" + UPDATE[ARRAY].tobytes() + weights_digest(UPDATE).encode() + HONEST + b"tail"


def bits_changed(one: bytes, other: bytes) -> int:
    assert len(one) == len(other)
    return sum((a ^ b).bit_count() for a, b in zip(one, other, strict=True))


def test_a_bit_of_what_is_reported_is_flipped_where_it_can_be_found():
    tampering = flipped()
    changed = tampering(MESSAGE)
    assert bits_changed(MESSAGE, changed) == 1
    assert struct.pack(">d", AUROC + 0.25) in changed
    assert tampering.counts == {"bytes": len(MESSAGE), "found": 1}


def test_a_bit_is_flipped_blindly_where_nothing_can_be_found():
    sealed = bytes(20_000)
    tampering = flipped()
    assert bits_changed(sealed, tampering(sealed)) == 1
    assert tampering.counts["found"] == 0


def test_an_update_that_can_be_found_becomes_its_negative_with_a_digest_that_fits():
    changed = rewritten(UPDATE)(MESSAGE)
    size = UPDATE[ARRAY].nbytes
    array = np.frombuffer(changed[4 : 4 + size], np.float32).reshape(UPDATE[ARRAY].shape)
    assert np.array_equal(array, -UPDATE[ARRAY])
    assert changed[4 + size :].startswith(weights_digest(negated(UPDATE)).encode())
    assert changed.endswith(HONEST + b"tail")


def test_an_update_that_cannot_be_found_is_changed_blindly():
    sealed = bytes(20_000)
    changed = rewritten(UPDATE)(sealed)
    assert len(changed) == len(sealed)
    assert bits_changed(sealed, changed) == UPDATE[ARRAY].size  # every sign
