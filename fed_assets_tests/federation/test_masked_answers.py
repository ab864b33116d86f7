"""What hospitals say in secure aggregation, as NVFlare hands it over, good and bad."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
from nvflare.apis.fl_constant import ReturnCode
from nvflare.apis.shareable import Shareable, make_reply
from nvflare.app_common.abstract.fl_model import FLModel
from nvflare.app_common.utils.fl_model_utils import FLModelUtils

from fed_assets.federation.aggregation import Update
from fed_assets.federation.answers import read_answer
from fed_assets.federation.masked_answers import (
    Said,
    fault_of_keys,
    fault_of_revealed,
    fault_of_sealed,
    said_by,
)
from fed_assets.federation.weights import difference_in_form
from fed_assets.privacy.digests import weights_digest
from fed_assets.privacy.fixed_point import WEIGHT, in_words
from fed_assets.privacy.masking import SEALED_BYTES
from fed_assets.privacy.masking_terms import PUBLIC, SAID
from fed_assets.privacy.shamir import SHARE_BYTES

KEYS = {**dict.fromkeys(PUBLIC, "ab" * 32), "certificate": "PEM", "signature": "00"}
SHARE, SEALED = "0a" * SHARE_BYTES, "0b" * SEALED_BYTES
LIKE = {"w": np.zeros(3, np.float32), "steps": np.zeros((), np.int64)}
WORDS = {"w": np.arange(3, dtype=np.uint32), "steps": np.array(7, np.uint32)}
WORDS |= {WEIGHT: np.array([5], np.uint32)}


def said(content, code=ReturnCode.OK, fault=lambda _, content: fault_of_keys(content)):
    reply = make_reply(code)
    reply[SAID] = content
    return said_by("hospital_01", reply, fault, bytes_down=9)


def test_keys_of_the_right_form_are_taken():
    found = said(KEYS)
    assert isinstance(found, Said)
    assert (found.content, found.bytes_down) == (KEYS, 9)
    assert found.bytes_up > sum(map(len, KEYS.values()))


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ({}, "not complete"),
        ({**KEYS, "more": "a"}, "not complete"),
        ({**KEYS, "mask_key": "ab"}, "are none"),
        ({**KEYS, "mask_key": "AB" * 32}, "are none"),
        ({**KEYS, "cipher_key": 7}, "are none"),
        ({**KEYS, "certificate": "a" * 9000}, "no signature"),
        ({**KEYS, "signature": None}, "no signature"),
        (None, "unreadable"),
        ([1, 2], "unreadable"),
    ],
)
def test_keys_of_another_form_are_refused(content, reason):
    assert reason in said(content)


def test_a_refusing_hospital_and_an_empty_reply_end_no_round():
    assert said(KEYS, ReturnCode.EXECUTION_EXCEPTION).startswith("its executor answered")
    assert "unreadable" in said_by("a", Shareable(), lambda _, __: None, bytes_down=0)
    assert "unreadable" in said_by("a", None, lambda _, __: None, bytes_down=0)


@pytest.mark.parametrize(
    "shares",
    [{}, {"a": SEALED}, {"a": SEALED, "b": SHARE}, {"a": SEALED, "b": SEALED, "c": SEALED}, [], 7],
)
def test_shares_for_others_than_those_who_take_part_are_refused(shares):
    assert fault_of_sealed({"a": SEALED, "b": SEALED}, {"a", "b"}) is None
    assert fault_of_sealed(shares, {"a", "b"})


def test_one_share_of_each_is_taken_and_nothing_else():
    good = {"seeds": {"a": SHARE, "b": SHARE}, "keys": {"c": SHARE}}
    assert fault_of_revealed(good, ["a", "b"], ["c"]) is None
    for bad in (
        {"seeds": good["seeds"]},
        {**good, "keys": {}},
        {**good, "keys": {"a": SHARE}},
        {**good, "seeds": {"a": SHARE, "b": "xy" * SHARE_BYTES}},
        {**good, "seeds": {"a": SHARE, "b": SHARE[2:]}},
    ):
        assert fault_of_revealed(bad, ["a", "b"], ["c"])


def masked_answer(words, **meta):
    said_of_it = {"seconds": 1.5, "update_digest": weights_digest(words), **meta}
    reply = FLModelUtils.to_shareable(FLModel(params=words, meta=said_of_it))
    reply.set_return_code(ReturnCode.OK)
    return read_answer(
        "hospital_01",
        reply,
        like=LIKE,
        bytes_down=9,
        weights_of=lambda model: model.params,
        hidden=partial(difference_in_form, like=in_words(LIKE)),
    )


def test_a_masked_update_is_taken_without_a_number_of_examples():
    found = masked_answer(WORDS)
    assert isinstance(found, Update)
    assert found.report["examples"] is None
    assert found.report["bytes_up"] > 5 * 4
    assert masked_answer(WORDS, examples=7).report["examples"] is None


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (LIKE, "names are missing"),
        ({**WORDS, "w": WORDS["w"].astype(np.float32)}, "dtype float32 in place of uint32"),
        ({**WORDS, "w": WORDS["w"][:2]}, "has shape"),
        ({**WORDS, "more": WORDS["w"]}, "are unknown"),
    ],
)
def test_what_is_not_in_words_of_the_form_is_refused(words, reason):
    assert reason in masked_answer(words)


def test_words_that_were_changed_on_the_way_are_refused():
    assert "its digest is not" in masked_answer(WORDS, update_digest="0" * 64)
