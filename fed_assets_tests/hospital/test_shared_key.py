from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fed_assets.errors import DisclosureRefused, RunConfigError
from fed_assets.hospital.shared_key import SharedKey, read_shared_key
from fed_assets.privacy.encrypted_sums import added
from fed_assets.privacy.masking import Turn
from fed_assets_tests.hospital.encrypting_sites import write_site
from fed_assets_tests.privacy.ckks_contexts import files, servers_context

NAMES = ["a", "b", "c", "d"]
TURN = Turn("run", 1)
NUMBERS = {name: np.arange(5000) * (index - 1) for index, name in enumerate(NAMES)}


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> dict[str, SharedKey]:
    folder = tmp_path_factory.mktemp("sites")
    return {name: read_shared_key(write_site(folder / name, name, NAMES), name) for name in NAMES}


def total_of(keys: dict[str, SharedKey], names: list[str], turn: Turn = TURN) -> list[bytes]:
    ciphertexts = [keys[name].encrypt(turn, NUMBERS[name]) for name in names]
    return [added(servers_context(), each) for each in zip(*ciphertexts, strict=True)]


def words_of(keys: dict[str, SharedKey], names: list[str], turn: Turn = TURN) -> dict[str, bytes]:
    return {name: keys[name].word(turn, names) for name in names}


@pytest.mark.parametrize("names", [NAMES, ["a", "b", "d"], ["d", "b", "a"]])
def test_every_hospital_of_a_sum_decrypts_it(keys: dict[str, SharedKey], names: list[str]) -> None:
    total = total_of(keys, names)
    words = words_of(keys, names)
    for name in names:
        found = keys[name].decrypt_sum(TURN, total, 5000, hospitals=names, words=words)
        assert np.array_equal(found, sum(NUMBERS[each] for each in names))


@pytest.mark.parametrize(
    ("added_up", "said"),
    [(["a"], ["a", "b", "c"]), (["a", "b", "c"], NAMES), (["a", "a", "a"], ["a", "b", "c"])],
)
def test_nothing_but_the_sum_that_hospitals_gave_their_words_for_is_decrypted(
    keys: dict[str, SharedKey], added_up: list[str], said: list[str]
) -> None:
    total, words = total_of(keys, added_up), words_of(keys, said)
    with pytest.raises(DisclosureRefused, match="is not the sum of these hospitals' updates"):
        keys["a"].decrypt_sum(TURN, total, 5000, hospitals=said, words=words)


@pytest.mark.parametrize(
    "said",
    [["b", "c", "d"], ["a", "b"], ["a", "a", "a"], ["a", "x", "y"], "abc", None],
)
def test_no_word_is_given_for_few_hospitals_or_for_others(
    keys: dict[str, SharedKey], said: Any
) -> None:
    with pytest.raises(DisclosureRefused, match="Fewer hospitals than the 3"):
        keys["a"].word(TURN, said)
    with pytest.raises(DisclosureRefused, match="Fewer hospitals than the 3"):
        keys["a"].decrypt_sum(TURN, [], 5000, hospitals=said, words={})


def test_a_sum_is_not_decrypted_without_the_words_of_enough_for_the_very_same_hospitals(
    keys: dict[str, SharedKey],
) -> None:
    fewer = ["a", "b", "c"]
    words = words_of(keys, fewer)
    total = total_of(keys, fewer)
    for bad in (
        {},
        {"a": words["a"], "b": words["b"]},
        {**words, "c": words["b"]},
        {**words, "c": None},
        words_of(keys, NAMES),  # for more than these
        words_of(keys, fewer, Turn("run", 2)),
        {**words, "c": keys["c"].word(TURN, NAMES)},
    ):
        with pytest.raises(DisclosureRefused, match="Fewer hospitals than 3 gave their word"):
            keys["a"].decrypt_sum(TURN, total, 5000, hospitals=fewer, words=bad)
    # One word of four may be lost.
    del (all_words := words_of(keys, NAMES))["d"]
    keys["a"].decrypt_sum(TURN, total_of(keys, NAMES), 5000, hospitals=NAMES, words=all_words)


def test_a_sum_of_another_round_or_size_or_of_nothing_is_not_decrypted(
    keys: dict[str, SharedKey],
) -> None:
    total = total_of(keys, NAMES)
    for turn, ciphertexts, count in (
        (Turn("run", 2), total, 5000),
        (TURN, total, 4999),
        (TURN, total[:1], 5000),
        (TURN, [], 5000),
        (TURN, [b"nonsense", total[1]], 5000),
    ):
        words = words_of(keys, NAMES, turn)
        with pytest.raises(DisclosureRefused, match="is not the sum of these hospitals' updates"):
            keys["a"].decrypt_sum(turn, ciphertexts, count, hospitals=NAMES, words=words)


def test_it_shows_nothing_of_itself(keys: dict[str, SharedKey]) -> None:
    assert "secret" not in repr(keys["a"])
    assert "tenseal" not in repr(keys["a"])


@pytest.mark.parametrize(
    ("said", "seen"),
    [
        ({"hospitals": ["b", "c", "d"]}, "without this one"),
        ({"hospitals": ["a", "a", "b"]}, "without this one"),
        ({"hospitals": ["a", "b"], "threshold": 2}, "hides nobody"),
        ({"threshold": 2}, "2 of 4 hospitals, which hides nobody"),
        ({"threshold": 5}, "hides nobody"),
        ({"threshold": None}, "NoneType"),
        ({"key_digest": "0" * 64}, "another federation's key"),
    ],
)
def test_a_site_that_was_not_provisioned_for_it_is_told_so(
    tmp_path: Path, said: dict[str, Any], seen: str
) -> None:
    site = write_site(tmp_path, "a", NAMES, **said)
    with pytest.raises(RunConfigError, match="not provisioned for homomorphic") as refused:
        read_shared_key(site, "a")
    assert seen in refused.value.seen


def test_an_old_kits_key_or_the_servers_or_none_is_refused(tmp_path: Path) -> None:
    from fed_assets.privacy.chain import sha256

    site = write_site(tmp_path, "a", NAMES)
    file = site / "startup" / "client_context.tenseal"
    file.write_bytes(files("another")[0])
    with pytest.raises(RunConfigError, match="another federation's key"):
        read_shared_key(site, "a")
    public = files()[1]
    write_site(tmp_path, "a", NAMES, key_digest=sha256(public))
    file.write_bytes(public)
    with pytest.raises(RunConfigError, match="no secret key"):
        read_shared_key(site, "a")
    file.unlink()
    with pytest.raises(RunConfigError, match="No such file"):
        read_shared_key(site, "a")
