from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest

from fed_assets.reporting.report import METRICS, build_report
from fed_assets.reporting.shortfalls import missing_tag

PROMISED = {
    "sandbox", "data", "participants", "excluded", "rounds", "seconds", "degraded", "test",
    "hospitals", "worst", "curves", "roc", "confusion", "calibration", "created", "versions",
    "machine", "seed",
}  # fmt: skip


def test_a_report_has_every_promised_key(federation):
    report = build_report(federation())

    assert set(report) >= PROMISED
    assert set(report["data"]) >= {"name", "digest", "synthetic"}
    assert report["participants"] == ["hospital_01", "hospital_02", "hospital_03"]
    assert report["rounds"] == 4


def test_metrics_sit_directly_in_test_and_in_each_hospital(federation):
    report = build_report(federation())

    for place in (report["test"], *report["hospitals"].values()):
        for metric in METRICS:
            assert set(place[metric]) == {"value", "low", "high"}
    assert report["test"]["auroc"]["value"] == 0.96
    assert report["hospitals"]["hospital_02"]["name"] == "North Fjord Clinic 2"
    assert report["hospitals"]["hospital_02"]["images"] == 51


def test_a_report_is_json_without_nan_whatever_came_in(federation):
    inputs = federation()
    answer = inputs.rounds[0]["participants"]["hospital_01"]
    answer["loss"], answer["auroc"] = float("nan"), np.float32(0.5)
    inputs.hospitals["hospital_02"]["metrics"]["f1"] = {"value": np.nan, "low": np.inf, "high": 1}
    inputs.hospitals["hospital_03"]["images"] = np.int64(52)

    report = json.loads(json.dumps(build_report(inputs), allow_nan=False))

    assert report["round_records"][0]["participants"]["hospital_01"]["loss"] is None
    assert report["hospitals"]["hospital_02"]["f1"]["value"] is None
    assert report["worst"]["f1"] == "hospital_03"
    assert report["hospitals"]["hospital_03"]["images"] == 52


def test_worst_is_the_lowest_auroc_and_the_highest_calibration_error(federation):
    inputs = federation()
    inputs.hospitals["hospital_01"]["metrics"]["expected_calibration_error"]["value"] = 0.3

    worst = build_report(inputs)["worst"]

    assert worst["auroc"] == "hospital_03"
    assert worst["expected_calibration_error"] == "hospital_01"


def test_worst_of_equals_is_the_first_of_the_roster(federation):
    inputs = federation()
    same = inputs.hospitals["hospital_01"]
    turned = dict.fromkeys(["hospital_03", "hospital_02", "hospital_01"], same)

    report = build_report(dataclasses.replace(inputs, hospitals=turned))

    assert report["worst"]["auroc"] == "hospital_01"


def test_a_hospital_with_nulls_is_kept_and_is_neither_worst_nor_in_the_mean(federation, undefined):
    inputs = federation()
    inputs.hospitals["hospital_03"] = undefined

    report = build_report(inputs)

    assert report["hospitals"]["hospital_03"]["auroc"]["value"] is None
    assert report["worst"]["auroc"] == "hospital_02"
    assert report["worst"]["accuracy"] == "hospital_03"
    assert report["hospital_mean"]["auroc"] == {"value": pytest.approx(0.945), "hospitals": 2}


def test_nobody_is_worst_where_every_hospital_is_undefined(federation, undefined):
    inputs = federation(hospitals=2)
    both = dict.fromkeys(inputs.hospitals, undefined)

    report = build_report(dataclasses.replace(inputs, hospitals=both))

    assert report["worst"]["auroc"] is None
    assert report["hospital_mean"]["auroc"] == {"value": None, "hospitals": 0}


def test_a_federation_where_everybody_answered_is_not_degraded(federation):
    report = build_report(federation())

    assert report["degraded"] is False
    assert report["shortfalls"] == []


def test_a_federation_of_one_hospital_is_whole(federation):
    report = build_report(federation(hospitals=1, rounds=1))

    assert not report["degraded"]
    assert report["curves"]["auroc"]["min"] == report["curves"]["auroc"]["max"]


def test_an_excluded_hospital_makes_it_degraded_and_is_told_why(federation):
    inputs = federation(excluded={"hospital_04": "3 of 20 images are unreadable"})

    report = build_report(inputs)

    assert report["degraded"]
    assert report["shortfalls"] == [
        {
            "kind": "excluded",
            "hospital": "hospital_04",
            "rounds": [],
            "reason": "3 of 20 images are unreadable",
            "said": "hospital_04 was left out before training: 3 of 20 images are unreadable",
        }
    ]


def test_a_hospital_that_missed_rounds_makes_it_degraded(federation):
    inputs = federation()
    for record in inputs.rounds[1:3]:
        del record["participants"]["hospital_02"]
        record["missing"]["hospital_02"] = "no answer within 60 s"

    report = build_report(inputs)

    assert [entry["rounds"] for entry in report["shortfalls"]] == [[2, 3]]
    assert report["sent"]["hospital_02"]["rounds"] == 2
    assert report["sent"]["hospital_02"]["bytes_up"] == 2_000_000
    assert report["curves"]["participants"] == [3, 2, 2, 3]


def test_a_hospital_that_missed_rounds_for_several_reasons_has_one_of_each(federation):
    inputs = federation()
    for record in inputs.rounds[:3]:
        del record["participants"]["hospital_02"]
        record["missing"]["hospital_02"] = "it did not answer within 600 s."
    inputs.rounds[1]["missing"]["hospital_02"] = "its weights hold numbers that are not finite"

    report = build_report(inputs)

    assert [entry["said"] for entry in report["shortfalls"]] == [
        "hospital_02 was missing in rounds 1, 3: it did not answer within 600 s",
        "hospital_02 was missing in round 2: its weights hold numbers that are not finite",
    ]
    assert missing_tag(report["shortfalls"]) == "hospital_02: rounds 1-3"


def test_everybody_who_was_missing_stands_in_one_tag(federation):
    inputs = federation(excluded={"hospital_09": "no data"})
    del inputs.hospitals["hospital_01"]
    del inputs.rounds[3]["participants"]["hospital_02"]
    inputs.rounds[3]["missing"]["hospital_02"] = "it is not connected"

    tag = missing_tag(build_report(inputs)["shortfalls"])

    assert tag == (
        "hospital_09: left out before training; hospital_01: not evaluated; hospital_02: round 4"
    )


def test_a_report_says_which_run_it_went_on_from(federation):
    resumed = {"run": "1a2b3c4d-0000", "round": 2}

    assert build_report(federation(resumed_from=resumed))["resumed_from"] == resumed
    assert build_report(federation())["resumed_from"] is None


def test_a_participant_without_evaluation_makes_it_degraded(federation):
    inputs = federation()
    del inputs.hospitals["hospital_01"]

    report = build_report(inputs)

    assert [(entry["kind"], entry["hospital"]) for entry in report["shortfalls"]] == [
        ("not_evaluated", "hospital_01")
    ]


def test_no_rounds_is_degraded_and_has_empty_curves(federation):
    report = build_report(federation(rounds=0))

    assert report["degraded"]
    assert report["shortfalls"][0]["kind"] == "no_rounds"
    assert report["participants"] == []
    assert report["curves"]["loss"] == {"mean": [], "min": [], "max": []}


def test_no_common_test_set_is_null_in_every_metric(federation):
    report = build_report(federation(test=None))

    assert report["test"]["images"] == 0
    assert all(report["test"][metric]["value"] is None for metric in METRICS)
    assert report["roc"] == report["confusion"] == report["calibration"] == []


def test_curves_come_in_the_order_of_rounds_and_skip_what_was_not_given(federation):
    inputs = federation(rounds=3)
    del inputs.rounds[2]["participants"]["hospital_01"]["auroc"]
    turned = list(reversed(inputs.rounds))

    curves = build_report(dataclasses.replace(inputs, rounds=turned))["curves"]

    given = [
        inputs.rounds[2]["participants"][each]["auroc"] for each in ("hospital_02", "hospital_03")
    ]
    assert curves["round_number"] == [1, 2, 3]
    assert curves["auroc"]["max"][2] == max(given)
    assert curves["auroc"]["mean"][2] == pytest.approx(sum(given) / 2)
    assert curves["bytes_up"] == [3_000_000] * 3


def test_five_classes_are_all_kept(federation):
    classes = ("atelectasis", "cardiomegaly", "effusion", "oedema", "pneumothorax")

    report = build_report(federation(classes=classes))

    assert [curve["class"] for curve in report["roc"]] == list(classes)
    assert len(report["confusion"]) == 5
    assert report["data"]["classes"] == list(classes)


def test_a_report_says_what_each_hospital_gains_and_what_is_lost_against_pooling(referenced):
    compared = build_report(referenced())["references"]

    assert compared["why_not"] is None
    assert compared["pooled_from"] == ["hospital_01", "hospital_02", "hospital_03"]
    assert compared["gain"]["auroc"] == {
        "mean": pytest.approx(0.07),
        "least": pytest.approx(0.06),
        "most": pytest.approx(0.08),
        "hospitals": 3,
    }
    # Pooled: two metrics; alone: two of three hospitals; own images: two over alone and pooled.
    assert len(compared["rows"]) == 2 + 6 + 12
    pooled = compared["rows"][0]
    assert (pooled["against"], pooled["value"]) == ("pooled", pytest.approx(-0.015))
    assert pooled["low"] < pooled["value"] < pooled["high"]


@pytest.mark.parametrize(
    ("references", "why_not"),
    [({"seeds": {"0": {}}}, "seed"), ({"rounds": 15}, "rounds"), ({"digests": {}}, "images")],
)
def test_references_of_another_kind_are_not_reported(referenced, references, why_not):
    compared = build_report(referenced(references=references))["references"]

    assert compared == {"why_not": why_not, "private": False}


def test_a_report_without_references_says_that_there_are_none(federation):
    assert build_report(federation())["references"]["why_not"] == "none"
