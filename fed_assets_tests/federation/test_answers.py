"""Answers as NVFlare hands them over, good and bad."""

from __future__ import annotations

import numpy as np
import pytest
from nvflare.apis.fl_constant import ReturnCode
from nvflare.apis.shareable import Shareable, make_reply
from nvflare.app_common.abstract.fl_model import FLModel, ParamsType
from nvflare.app_common.utils.fl_model_utils import FLModelUtils

from fed_assets.errors import JobFailed, StorageError
from fed_assets.federation.aggregation import Update
from fed_assets.federation.answers import LONGEST_REASON, clipped_share, read_answer
from fed_assets.privacy.digests import weights_digest

LIKE = {"w": np.zeros(3, dtype=np.float32)}
WEIGHTS = {"w": np.ones(3, dtype=np.float32)}
META = {"examples": 7, "seconds": 1.5, "update_digest": weights_digest(WEIGHTS)}


def answer(meta=None, metrics=None, **model):
    reply = FLModelUtils.to_shareable(
        FLModel(**{"params": WEIGHTS, **model}, meta={**META, **(meta or {})}, metrics=metrics)
    )
    reply.set_return_code(ReturnCode.OK)
    return read(reply, bytes_down=99)


def read(reply, *, bytes_down=0, weights_of=lambda model: model.params, bounds=None):
    return read_answer(
        "hospital_01",
        reply,
        like=LIKE,
        bytes_down=bytes_down,
        weights_of=weights_of,
        bounds=bounds,
    )


def test_a_good_answer_becomes_an_update_with_its_report():
    update = answer(metrics={"loss": np.float32(0.5), "auroc": 0.75})
    assert isinstance(update, Update)
    assert update.examples == 7
    assert update.report["loss"] == 0.5
    assert update.report["auroc"] == 0.75
    assert update.report["accuracy"] is None
    assert update.report["bytes_down"] == 99
    assert update.report["update_digest"] == META["update_digest"]


def test_the_head_of_the_hospitals_outbox_log_is_kept_where_it_has_one():
    head = {"outbox_entries": 12, "outbox_head": "a" * 64}
    assert head.items() <= answer(meta=head).report.items()
    for odd in (
        {},
        {"outbox_entries": "12", "outbox_head": 5},
        {"outbox_entries": None},
        {"outbox_entries": -3},
    ):
        report = answer(meta=odd).report
        assert report["outbox_entries"] is report["outbox_head"] is None


def test_what_a_hospital_says_that_it_spent_is_kept_and_nothing_odd():
    spent = {"epsilon": 2.5, "delta": 1e-5, "noise_multiplier": np.float32(1.5)}
    assert spent.items() <= answer(meta=spent).report.items()
    for odd in ({}, {"epsilon": "2.5"}, {"epsilon": float("nan"), "delta": [1]}):
        assert not {"epsilon", "delta", "noise_multiplier"} & answer(meta=odd).report.keys()


def test_metrics_that_json_cannot_hold_are_left_out():
    update = answer(metrics={"loss": float("nan"), "auroc": "high", "accuracy": None})
    assert [update.report[name] for name in ("loss", "auroc", "accuracy")] == [None] * 3


@pytest.mark.parametrize("odd", [1e308, -1e308, 1e10, 10**400])
def test_a_figure_that_cannot_be_one_is_left_out_as_it_would_spoil_the_mean_of_all(odd):
    named = ("loss", "auroc", "accuracy", "seconds", "epsilon", "delta", "noise_multiplier")
    told = dict.fromkeys(named, odd)
    report = answer(meta=told, metrics=told).report
    assert {report.get(name) for name in named} == {None}


def test_a_loss_may_be_below_zero_and_nothing_else():
    report = answer(meta={"seconds": -0.5}, metrics={"loss": -0.5, "auroc": -0.5}).report
    assert (report["loss"], report["auroc"], report["seconds"]) == (-0.5, None, None)


@pytest.mark.parametrize("share", ["auroc", "accuracy"])
def test_a_share_is_at_most_one(share):
    assert answer(metrics={share: 1.0}).report[share] == 1.0
    assert answer(metrics={share: 1.01}).report[share] is None


@pytest.mark.parametrize("examples", [0, -1, 1.5, "7", None])
def test_an_update_without_images_is_refused(examples):
    assert "learned from no images" in answer(meta={"examples": examples})


def test_an_update_with_another_digest_is_refused():
    assert "its digest is not that" in answer(meta={"update_digest": "0" * 64})


def test_a_difference_in_place_of_weights_is_refused():
    assert "no full weights" in answer(params_type=ParamsType.DIFF)


def test_metrics_alone_are_refused():
    assert "no full weights" in answer(params=None, metrics={"loss": 1.0})


def test_an_answer_that_is_no_model_is_refused():
    reply = Shareable({"anything": 1})
    reply.set_return_code(ReturnCode.OK)
    assert "unreadable" in read(reply)


@pytest.mark.parametrize("metrics", [[1.0], "none"])
def test_an_answer_of_an_odd_form_is_refused_and_ends_no_round(metrics):
    reply = FLModelUtils.to_shareable(FLModel(params=WEIGHTS, meta=META, metrics={"loss": 1.0}))
    reply["DXO"]["meta"]["initial_metrics"] = metrics
    reply.set_return_code(ReturnCode.OK)
    assert "unreadable" in read(reply)


def test_an_error_is_repeated_on_one_short_line():
    error = {"what": "No images\n" * 1000}
    reply = make_reply(ReturnCode.EXECUTION_EXCEPTION, headers={"fed_assets_error": error})
    reason = read(reply)
    assert reason.startswith("its executor answered EXECUTION_EXCEPTION: No images No images")
    assert "\n" not in reason
    assert len(reason) < LONGEST_REASON + 60


def test_an_error_says_where_and_how_to_mend_it():
    error = {"what": "Refused", "where": "images.npy", "cure": "Put it back."}
    reply = make_reply(ReturnCode.EXECUTION_EXCEPTION, headers={"fed_assets_error": error})
    assert read(reply).endswith(": Refused (images.npy); to mend it: Put it back")


def test_an_error_says_what_was_seen_also_where_a_filter_failed():
    error = {"what": "Weights that came in could not be written", "seen": "No space left"}
    reply = make_reply(ReturnCode.TASK_DATA_FILTER_ERROR)
    assert read(reply) == "its executor answered TASK_DATA_FILTER_ERROR"
    reply.add_cookie("fed_assets_error", error)
    assert read(reply).endswith(": Weights that came in could not be written (No space left)")


def test_no_reason_steers_the_terminal_that_shows_it():
    error = {
        "what": "It is\x1b[2J\x00 full",
        "where": "a\x07",
        "seen": "\x9b8m",
        "cure": "\u202eevil",
    }
    reply = make_reply("ODD\x1b]0;TITLE\x07", headers={"fed_assets_error": error})
    told = read(reply)
    assert told == "its executor answered ODD]0;TITLE: It is[2J full (a; 8m); to mend it: evil"
    assert told.isprintable()


def test_no_part_of_a_reason_is_longer_than_it_may_be():
    assert len(read(make_reply("LONG" * 1000))) < LONGEST_REASON + 60
    odd = np.zeros(3, dtype=[(f"field {number}", "u1") for number in range(100)])
    reason = answer(params={"w": odd})
    assert "has dtype" in reason
    assert len(reason) < LONGEST_REASON + 60


def test_cookies_of_an_odd_form_end_no_round():
    reply = make_reply(ReturnCode.EXECUTION_EXCEPTION)
    reply.set_cookie_jar(["fed_assets_error"])
    assert "unreadable" in read(reply)


@pytest.mark.parametrize("odd", ["a" * 63, "A" * 64, "a" * 65, "a" * 10**6, 5, None])
def test_what_is_no_digest_is_not_kept(odd):
    digests = ("dataset_digest", "outbox_head")
    assert [answer(meta=dict.fromkeys(digests, "a" * 64)).report[name] for name in digests] == [
        "a" * 64
    ] * 2
    report = answer(meta=dict.fromkeys(digests, odd)).report
    assert [report[name] for name in digests] == [None, None]


def test_a_count_that_json_cannot_hold_is_none():
    assert answer(meta={"examples": 2**53}).examples == 2**53
    assert "learned from no images" in answer(meta={"examples": 2**53 + 1})


def test_an_update_above_the_norm_that_hospitals_promise_is_refused():
    statistics = {"max_statistics_norm": 1.0}
    assert "its L2 norm is above max_norm=1.7" in read(
        good_reply(), bounds={"max_norm": 1.7, **statistics}
    )
    update = read(good_reply(), bounds={"max_norm": 3**0.5, **statistics})
    assert isinstance(update, Update)
    assert isinstance(read(good_reply()), Update)  # where none is promised, none is asked


def test_whether_an_update_was_clipped_is_kept_and_makes_a_share():
    updates = [answer(meta={"clipped": said}) for said in (True, False, False)]
    assert [update.report["clipped"] for update in updates] == [True, False, False]
    assert clipped_share(updates) == {"clipped_share": 0.3333}
    for odd in ({}, {"clipped": "yes"}, {"clipped": 1}):
        assert "clipped" not in answer(meta=odd).report
    assert clipped_share([answer()]) == {}


def good_reply():
    reply = FLModelUtils.to_shareable(FLModel(params=WEIGHTS, meta=META))
    reply.set_return_code(ReturnCode.OK)
    return reply


def test_weights_that_did_not_come_are_a_reason_and_a_full_disk_is_raised():
    def lost(model):
        raise JobFailed("Weights could not be fetched", seen="timeout", cure="Look at the line.")

    def full(model):
        raise StorageError("Weights that came in could not be written", seen="No space left")

    reason = "its update did not come (timeout); to mend it: Look at the line"
    assert read(good_reply(), weights_of=lost) == reason
    with pytest.raises(StorageError, match="No space left"):
        read(good_reply(), weights_of=full)


def test_what_a_hospital_withholds_is_kept_by_name_and_nothing_else_it_says_there():
    report = answer(meta={"suppressed": ["auroc", "weights", 5]}).report
    assert report["suppressed"] == ["auroc"]
    for odd in ({}, {"suppressed": []}, {"suppressed": "auroc"}, {"suppressed": [["auroc"]]}):
        assert "suppressed" not in answer(meta=odd).report
