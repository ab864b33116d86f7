from __future__ import annotations

import secrets

import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from fed_assets.privacy.masking import Turn, add_masks, sign_for
from fed_assets.privacy.masking_terms import threshold

TURN = Turn("job-1", 3)
ONE, OTHER, THIRD = (X25519PrivateKey.generate() for _ in range(3))


def public(key: X25519PrivateKey) -> bytes:
    return key.public_key().public_bytes_raw()


def some_words() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    shapes = {"b": (7, 3), "a": (), "large": (70_001,), "none": (0,)}
    return {
        name: np.asarray(rng.integers(0, 2**32, shape, np.uint32)) for name, shape in shapes.items()
    }


def test_both_of_a_pair_derive_the_same_mask_and_nobody_else() -> None:
    mask = TURN.mask_of_pair("a", ONE, "b", public(OTHER))
    assert mask == TURN.mask_of_pair("b", OTHER, "a", public(ONE))
    assert mask != TURN.mask_of_pair("c", THIRD, "a", public(ONE))


@pytest.mark.parametrize("turn", [Turn("job-1", 4), Turn("job-2", 3)])
def test_nothing_of_a_round_counts_in_another(turn: Turn) -> None:
    seed = secrets.token_bytes(32)
    assert turn.mask_of_pair("a", ONE, "b", public(OTHER)) != TURN.mask_of_pair(
        "a", ONE, "b", public(OTHER)
    )
    assert turn.mask_of_seed("a", seed) != TURN.mask_of_seed("a", seed)
    assert turn.commitment("a", seed) != TURN.commitment("a", seed)
    sealed = TURN.seal("a", ONE, "b", public(OTHER), b"shares")
    with pytest.raises(ValueError, match="not sealed by its sender"):
        turn.open("b", OTHER, "a", public(ONE), sealed)


def test_what_is_sealed_opens_at_its_receiver_as_its_senders_alone() -> None:
    sealed = TURN.seal("a", ONE, "b", public(OTHER), b"shares")
    assert b"shares" not in sealed
    assert TURN.open("b", OTHER, "a", public(ONE), sealed) == b"shares"
    attempts = [
        ("a", OTHER, "b", public(ONE), sealed),  # sent back to its sender as the receiver's
        ("c", THIRD, "a", public(ONE), sealed),
        ("b", OTHER, "c", public(THIRD), sealed),
        ("b", OTHER, "a", public(ONE), sealed[:-1] + bytes([sealed[-1] ^ 1])),
        ("b", OTHER, "a", public(ONE), sealed[:20]),
        ("b", OTHER, "a", public(ONE), b""),
    ]
    for attempt in attempts:
        with pytest.raises(ValueError):
            TURN.open(*attempt)
    assert TURN.seal("a", ONE, "b", public(OTHER), b"shares") != sealed


@pytest.mark.parametrize("key", [bytes(32), b"short", b"\1" + bytes(31)])
def test_a_public_key_that_is_none_is_refused(key: bytes) -> None:
    with pytest.raises(ValueError):
        TURN.mask_of_pair("a", ONE, "b", key)


def test_masks_hide_each_word_and_fall_out_again() -> None:
    words, plain = some_words(), some_words()
    one, other = secrets.token_bytes(32), secrets.token_bytes(32)
    add_masks(words, [(one, 1), (other, -1)])
    assert (words["large"] != plain["large"]).mean() > 0.999
    assert words["a"] != plain["a"]
    # As a stream cipher's output is: each bit as often one as zero.
    ones = np.unpackbits((words["large"] - plain["large"]).view(np.uint8)).mean()
    assert abs(ones - 0.5) < 0.005
    add_masks(words, [(other, 1)])
    add_masks(words, [(one, -1)])
    for name, array in plain.items():
        assert np.array_equal(words[name], array)


def test_the_masks_of_a_pair_cancel_in_their_sum() -> None:
    assert {sign_for("a", "b"), sign_for("b", "a")} == {1, -1}
    one, other, plain = some_words(), some_words(), some_words()
    add_masks(one, [(TURN.mask_of_pair("a", ONE, "b", public(OTHER)), sign_for("a", "b"))])
    add_masks(other, [(TURN.mask_of_pair("b", OTHER, "a", public(ONE)), sign_for("b", "a"))])
    for name, array in plain.items():
        assert np.array_equal(one[name] + other[name], array + array)


def test_no_part_of_a_mask_is_used_twice() -> None:
    words = {name: np.zeros(50_000, np.uint32) for name in ("a", "b")}
    add_masks(words, [(secrets.token_bytes(32), 1)])
    everything = np.concatenate([words["a"], words["b"]]).view(np.uint64)
    assert len(np.unique(everything)) == len(everything)


def test_words_that_a_mask_would_not_reach_are_refused() -> None:
    with pytest.raises(ValueError, match="a is not contiguous"):
        add_masks({"a": np.zeros((4, 4), np.uint32).T[:2]}, [(bytes(32), 1)])


@pytest.mark.parametrize(
    ("hospitals", "quorum", "least"), [(3, 1, 2), (4, 1, 3), (10, 3, 6), (10, 8, 8), (5, 5, 5)]
)
def test_more_than_half_must_answer_and_no_fewer_than_the_quorum(
    hospitals: int, quorum: int, least: int
) -> None:
    assert threshold(hospitals, quorum) == least > hospitals / 2
