from __future__ import annotations

import numpy as np
import pytest

from fed_assets.privacy.encrypted_sums import ROOM
from fed_assets.privacy.masking import Turn
from fed_assets.privacy.sum_tags import PRIME, SumTags

NAMES = ("a", "b", "c")
TURN = Turn("run", 1)
OWN = SumTags(b"what hospitals share", TURN)
RNG = np.random.default_rng(0)
NUMBERS = {name: RNG.integers(-ROOM // 3, ROOM // 3, 10_000) for name in NAMES}
TAGS = {name: OWN.tag(name, NUMBERS[name]) for name in NAMES}


def test_tags_add_up_as_numbers_do() -> None:
    assert all(0 <= tag < PRIME for tag in TAGS.values())
    assert OWN.holds(sum(TAGS.values()), NAMES, sum(NUMBERS.values()))
    assert OWN.holds(TAGS["a"] + TAGS["c"], ["c", "a"], NUMBERS["a"] + NUMBERS["c"])


def test_the_product_is_the_one_of_whole_numbers() -> None:
    drawn = OWN._drawn("of all", 10_000)
    exact = sum(int(r) * int(x) for r, x in zip(drawn, NUMBERS["a"], strict=True))
    assert OWN._product(NUMBERS["a"]) == exact % PRIME


@pytest.mark.parametrize(
    ("tags", "names", "numbers"),
    [
        (TAGS["a"], NAMES, NUMBERS["a"]),  # one alone, said to be of all
        (sum(TAGS.values()), NAMES, NUMBERS["a"]),  # the tags of all, on one
        (sum(TAGS.values()), NAMES[:2], sum(NUMBERS.values())),
        (3 * TAGS["a"], NAMES, 3 * NUMBERS["a"]),
        (2 * TAGS["a"] + TAGS["b"], NAMES, 2 * NUMBERS["a"] + NUMBERS["b"]),
        (sum(TAGS.values()), NAMES, sum(NUMBERS.values()) + np.eye(1, 10_000, dtype=int)[0]),
        (sum(TAGS.values()) + 1, NAMES, sum(NUMBERS.values())),
    ],
)
def test_anything_but_the_sum_of_each_once_is_refused(tags, names, numbers) -> None:
    assert not OWN.holds(tags, names, numbers)


@pytest.mark.parametrize(
    "other",
    [
        SumTags(b"another federation's", TURN),
        SumTags(b"what hospitals share", Turn("run", 2)),
        SumTags(b"what hospitals share", Turn("another run", 1)),
    ],
)
def test_tags_hold_for_their_own_round_and_key_alone(other: SumTags) -> None:
    assert not other.holds(sum(TAGS.values()), NAMES, sum(NUMBERS.values()))


def test_a_word_is_for_one_round_one_hospital_and_one_set_of_them() -> None:
    words = [
        OWN.word("a", NAMES),
        OWN.word("b", NAMES),
        OWN.word("a", NAMES[:2]),
        SumTags(b"another federation's", TURN).word("a", NAMES),
        SumTags(b"what hospitals share", Turn("run", 2)).word("a", NAMES),
    ]
    assert len({*words}) == len(words)
    assert OWN.word("a", reversed(NAMES)) == words[0]
