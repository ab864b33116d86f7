"""Which hospitals a round waits for, and what it says of those that are missing."""

from __future__ import annotations

from dataclasses import replace

from fed_assets.federation.aggregation import Update
from fed_assets.federation.lost import Loss
from fed_assets.federation.standing import Standing

NAMES = ("a", "b", "c")
FRESH = Standing(round_number=4, hospitals=NAMES, quorum=2, limit_seconds=6, asked=NAMES)
GONE = Loss("its client ended (signal 9)", "/console")


def updates(*names):
    return {name: Update(hospital=name, examples=1, weights={}, report={}) for name in names}


def test_a_round_waits_for_all_that_were_asked_and_have_not_answered():
    assert FRESH.awaited() == {"a", "b", "c"}
    assert replace(FRESH, answers={**updates("a"), "b": "it lied"}).awaited() == {"c"}
    assert replace(FRESH, answers=updates(*NAMES)).awaited() == set()
    assert replace(FRESH, answers=updates(*NAMES)).missing() == {}


def test_updates_stand_in_the_order_of_their_hospitals_whatever_order_they_came_in():
    standing = replace(FRESH, answers={**updates("c"), "b": "it lied", **updates("a")})
    assert [update.hospital for update in standing.updates] == ["a", "c"]


def test_a_hospital_that_is_not_connected_is_not_waited_for():
    standing = replace(FRESH, asked=("a", "b"), answers=updates("a", "b"))
    assert standing.awaited() == set()
    assert standing.missing() == {"c": "it is not connected"}


def test_a_lost_hospital_is_not_waited_for_and_its_answer_counts_if_it_came_before():
    standing = replace(FRESH, answers=updates("a"), lost={"a": GONE, "b": GONE})
    assert standing.awaited() == {"c"}
    assert standing.missing()["b"] == GONE.reason
    assert "a" not in standing.missing()


def test_a_round_that_cannot_reach_its_quorum_waits_for_nobody():
    standing = replace(FRESH, lost={"a": GONE, "b": GONE})
    assert standing.awaited() == set()
    assert standing.missing() == {
        "a": GONE.reason,
        "b": GONE.reason,
        "c": "the round was given up before it answered",
    }


def test_bad_answers_do_not_cut_a_round_short():
    assert replace(FRESH, answers={"a": "it lied", "b": "it lied"}).awaited() == {"c"}


def test_after_the_limit_a_round_waits_for_nobody_and_names_the_limit():
    standing = replace(FRESH, answers=updates("a", "b"), over=True)
    assert standing.awaited() == set()
    assert standing.missing() == {"c": "it did not answer within 6 s in round 4"}
    assert standing.now_silent() == {"c": 4}


def test_a_silent_hospital_is_waited_for_once_it_takes_its_task():
    silent = replace(FRESH, silent={"c": 2}, answers=updates("a"))
    assert silent.awaited() == {"b"}
    assert replace(silent, taken={"c"}).awaited() == {"b", "c"}
    done = replace(silent, answers=updates("a", "b"))
    assert done.awaited() == set()
    assert done.missing() == {"c": "it did not answer within 6 s in round 2"}
    assert done.now_silent() == {"c": 2}


def test_a_silent_hospital_is_waited_for_where_the_quorum_needs_it():
    silent = replace(FRESH, silent={"c": 2}, answers={**updates("a"), "b": "it lied"})
    assert silent.awaited() == {"c"}
    assert replace(silent, over=True).awaited() == set()


def test_a_silent_hospital_that_answers_or_is_lost_is_silent_no_more():
    silent = replace(FRESH, silent={"b": 2, "c": 2}, answers=updates("a", "b"), lost={"c": GONE})
    assert silent.now_silent() == {}


def test_a_silent_hospital_that_is_late_again_is_late_in_this_round():
    late = replace(FRESH, silent={"c": 2}, taken={"c"}, answers=updates("a", "b"), over=True)
    assert late.missing() == {"c": "it did not answer within 6 s in round 4"}
    assert late.now_silent() == {"c": 4}


def test_a_task_that_nvflare_closes_is_named():
    closed = replace(FRESH, answers=updates("a", "b"), closed_by="client_dead")
    assert closed.awaited() == set()
    assert closed.missing() == {"c": "NVFlare closed its task: client_dead"}
