"""What hospitals say under homomorphic encryption, as NVFlare hands it over, good and bad."""

from __future__ import annotations

import numpy as np
import pytest
from nvflare.apis.fl_constant import ReturnCode
from nvflare.apis.shareable import Shareable, make_reply

from fed_assets.federation.aggregation import Update
from fed_assets.federation.encrypted_answers import (
    agreed,
    bytes_said_by,
    fault_of_ciphertexts,
    message_bytes,
    said_in,
    with_votes,
)
from fed_assets.federation.masked_answers import Said
from fed_assets.federation.standing import Standing
from fed_assets.privacy.encrypted_sums import encrypted
from fed_assets.privacy.encryption_terms import SAID, SLOTS, ciphertext_name
from fed_assets_tests.privacy.ckks_contexts import hospitals_context, servers_context

FIRST, SECOND = map(ciphertext_name, range(2))


@pytest.fixture(scope="module")
def good():
    parts = encrypted(hospitals_context(), np.arange(SLOTS + 1))
    return {
        name: np.frombuffer(part, np.uint8)
        for name, part in zip((FIRST, SECOND), parts, strict=True)
    }


def test_ciphertexts_of_the_right_form_and_number_are_taken(good):
    assert fault_of_ciphertexts(good, servers_context(), 2) is None


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (lambda good: None, "it holds no named arrays"),
        (lambda good: {}, "it holds 0 arrays, and not 2 ciphertexts"),
        (lambda good: {FIRST: good[FIRST]}, "it holds 1 arrays, and not 2 ciphertexts"),
        (lambda good: {FIRST: good[FIRST], "x": good[SECOND]}, "it holds 2 arrays, and not 2"),
        (lambda good: good | {SECOND: good[SECOND].tobytes()}, f"{SECOND} is no row of bytes"),
        (lambda good: good | {SECOND: np.zeros(9)}, f"{SECOND} is no row of bytes"),
        (lambda good: good | {SECOND: np.zeros((3, 3), np.uint8)}, "is no row of bytes"),
        (lambda good: good | {SECOND: np.zeros(999, np.uint8)}, f"{SECOND} is no ciphertext"),
        (lambda good: good | {SECOND: good[SECOND][1:]}, f"{SECOND} is no ciphertext"),
    ],
)
def test_other_ciphertexts_are_refused_with_the_reason(good, change, fault):
    assert fault in fault_of_ciphertexts(change(good), servers_context(), 2)


def said(content, code=ReturnCode.OK):
    reply = make_reply(code)
    reply[SAID] = content
    return bytes_said_by("hospital_01", reply, name="sum", size=16, bytes_down=9)


def test_what_a_hospital_says_is_taken_with_its_size():
    found = said({"sum": bytes(16)})
    assert isinstance(found, Said)
    assert (found.content, found.bytes_up, found.bytes_down) == ({"sum": bytes(16)}, 16, 9)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ({"sum": bytes(15)}, "its answer is refused: its sum is not 16 bytes"),
        ({"sum": "a" * 16}, "its answer is refused: its sum is not 16 bytes"),
        ({"sum": [0] * 16}, "its answer is refused: its sum is not 16 bytes"),
        ({}, "its answer is unreadable (KeyError)"),
        (None, "its answer is unreadable (TypeError)"),
    ],
)
def test_anything_else_is_refused_with_the_reason(content, reason):
    assert said(content) == reason


def test_a_refusal_is_passed_on():
    assert "EXECUTION_EXCEPTION" in said({}, ReturnCode.EXECUTION_EXCEPTION)
    assert "unreadable" in bytes_said_by(
        "hospital_01", Shareable(), name="sum", size=1, bytes_down=0
    )


@pytest.mark.parametrize(
    ("sums", "right"),
    [
        ({}, None),
        ({"a": b"1"}, None),  # nobody agrees with it
        ({"a": b"1", "b": b"2"}, None),
        ({"a": b"1", "b": b"2", "c": b"3"}, None),
        ({"a": b"1", "b": b"1"}, b"1"),
        ({"a": b"1", "b": b"2", "c": b"2"}, b"2"),
        ({"a": b"1", "b": b"1", "c": b"2", "d": b"2"}, None),
        ({"a": b"1", "b": b"1", "c": b"2", "d": b"2", "e": b"2"}, b"2"),
    ],
)
def test_the_sum_is_what_two_say_and_fewer_say_otherwise(sums, right):
    assert agreed(sums) == right


def test_reports_say_who_decrypted_and_who_was_outvoted():
    update = {name: Update(hospital=name, examples=0, weights={}, report={}) for name in "abc"}
    standing = Standing(1, "abcd", 2, 1.0, "abcd", answers={**update, "d": "it was late"})
    voted = with_votes(standing, {"a": b"1", "b": b"2", "d": b"1"}, b"1")
    assert [each.report for each in voted.updates] == [
        {"decryption": "as others"},
        {"decryption": "unlike the others"},
        {},
    ]
    assert voted.answers["d"] == "it was late"


def test_what_was_said_is_found_in_all_phases():
    one, other = (
        Standing(1, "ab", 1, 1.0, "ab", answers={name: said({"sum": bytes(16)}), "x": "lost"})
        for name in "ab"
    )
    assert said_in([one, other], "sum") == {"hospital_01": bytes(16)}


def test_a_message_is_as_large_as_what_it_holds():
    plain = message_bytes({"round_number": 1, "hospitals": ["a"]})
    words = {"a": bytes(32)}
    with_words = message_bytes({"round_number": 1, "hospitals": ["a"], "words": words})
    whole = {"round_number": 1, "hospitals": ["a"], "words": words, "ciphertexts": [bytes(1000)]}
    assert plain < with_words == message_bytes(whole) - 1000
