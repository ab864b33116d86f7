"""What a report says of its run's rule of aggregation, by what was measured of it under attack."""

from __future__ import annotations

import json

import pytest

from fed_assets.reporting.page import render_page
from fed_assets.reporting.report import build_report
from fed_assets.reporting.robust_rules import ATTACKS, measured_of, read_rules
from fed_assets_tests.reporting.html_page import HtmlPage


def reached(*accuracies, **verdict):
    figures = [{"accuracy": each, "auroc": each + 0.05} for each in accuracies]
    return {**dict(zip(ATTACKS, figures, strict=False)), **verdict}


RECORD = {
    "rounds": 15,
    "hostile": ["hospital_05", "hospital_10"],
    "within": 0.03,
    "rules": {
        "fedavg": reached(0.93, 0.375, 0.62, accuracy_lost=0.555, held=False),
        "trimmed_mean": reached(0.925, 0.92, 0.913, accuracy_lost=0.012, held=True),
        "weighted_median": reached(0.92, 0.8, 0.91, accuracy_lost=0.12, held=False),
        "fedprox": reached(0.931),
    },
}
MEAN_LOST = "ith 2 hospitals hostile the plain mean lost 0.555 of accuracy"


@pytest.mark.parametrize(
    ("controls", "said"),
    [
        (
            {"aggregation": "trimmed_mean"},
            "Updates met by the trimmed mean: with 2 hospitals hostile the trimmed mean lost 0.012 "
            f"of accuracy, and held (0.03 is the most). W{MEAN_LOST}.",
        ),
        ({"aggregation": "weighted_median"}, "lost 0.120 of accuracy, and did not hold"),
        ({"aggregation": "multi_krum"}, "multi-Krum; what hostile hospitals do to it was not"),
        (
            {"aggregation": "fedavg", "update_protection": "secure_aggregation"},
            "so they met by a mean, which withstands nobody hostile, and no hostile one is found "
            f"out: w{MEAN_LOST}.",
        ),
        (
            {"aggregation": "fedprox"},
            f"FedProx, a mean, which withstands nobody hostile: w{MEAN_LOST}. With the shipped "
            "recipe and nobody hostile, FedProx reached an accuracy of 0.931 and an AUROC of "
            "0.981.",
        ),
        (
            {"aggregation": "fedopt", "update_protection": "homomorphic_encryption"},
            f"no hostile one is found out: w{MEAN_LOST}.",
        ),
    ],
)
def test_a_rule_is_told_of_by_what_was_measured(controls, said):
    told = measured_of(controls, RECORD)

    assert said in told["said"]
    assert list(told["rules"]) == list(dict.fromkeys(["fedavg", controls["aggregation"]]))


@pytest.mark.parametrize(
    ("controls", "record"),
    [
        ({"aggregation": "fedavg", "update_protection": "clip"}, RECORD),
        ({}, RECORD),
        ({"aggregation": "trimmed_mean"}, None),
    ],
)
def test_of_a_mean_that_promises_nothing_and_without_a_record_nothing_is_said(controls, record):
    assert measured_of(controls, record) is None


def test_a_record_of_no_rule_says_that_nothing_was_measured():
    told = measured_of({"aggregation": "trimmed_mean"}, {**RECORD, "rules": {}})

    assert "was not measured" in told["said"]
    assert set(told["rules"]["fedavg"].values()) == {None}


def test_a_version_without_a_record_has_none(tmp_path):
    assert read_rules(tmp_path / "none.json") is None
    (tmp_path / "some.json").write_text(json.dumps(RECORD))
    assert read_rules(tmp_path / "some.json") == RECORD


def test_the_page_shows_the_rule_beside_the_plain_mean(federation):
    inputs = federation(controls={"aggregation": "trimmed_mean"}, robust_rules=RECORD)
    html = render_page(build_report(inputs))
    controls = " ".join(HtmlPage(html).text["section"][5].split())

    assert "What hostile hospitals do to the rule Updates met by the trimmed mean" in controls
    assert "the plain mean 0.9300.980 0.3750.425 0.6200.670 0.555" in controls
    assert "the trimmed mean 0.9250.975 0.9200.970 0.9130.963 0.012" in controls
    assert "and not of this run" in controls


def test_the_page_says_what_was_not_measured_and_nothing_of_an_absent_record(federation):
    inputs = federation(controls={"aggregation": "fedprox"}, robust_rules=RECORD)
    controls = HtmlPage(render_page(build_report(inputs))).text["section"][5]
    assert controls.count("not measured") == 3
    without = federation(controls={"aggregation": "fedprox"})
    assert "hostile" not in HtmlPage(render_page(build_report(without))).text["section"][5]
