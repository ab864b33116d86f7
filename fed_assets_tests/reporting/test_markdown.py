from __future__ import annotations

import base64

from fed_assets.reporting.figures import draw_pictures
from fed_assets.reporting.markdown import (
    metrics_table_markdown,
    picture_markdown,
    report_markdown,
)
from fed_assets.reporting.report import build_report


def test_the_table_gives_every_metric_with_interval_mean_and_worst(federation):
    lines = metrics_table_markdown(build_report(federation())).splitlines()

    assert len(lines) == 2 + 8
    assert lines[2] == (
        "| AUROC | 0.960 (0.930\N{EN DASH}0.980) | 0.940 "
        "| Klinikum Görlitz 3: 0.930 (0.900\N{EN DASH}0.950) |"
    )


def test_the_table_of_synthetic_data_says_so_first(federation):
    table = metrics_table_markdown(build_report(federation(synthetic=True)))

    assert table.startswith("**SYNTHETIC DATA")


def test_what_is_undefined_is_not_told_as_not_measured(federation, undefined):
    measured = metrics_table_markdown(build_report(federation(test=undefined)))
    unmeasured = metrics_table_markdown(build_report(federation(test=None)))

    assert "| AUROC | undefined (one class only) |" in measured
    assert "| AUROC | not measured |" in unmeasured


def test_a_name_breaks_neither_the_table_nor_the_page(federation):
    inputs = federation(hospitals=1)
    inputs.roster[0]["name"] = "A|B\n[x](http://y) <script>"

    row = metrics_table_markdown(build_report(inputs)).splitlines()[2]

    assert "<script>" not in row
    assert row.replace("\\|", "").count("|") == 5
    assert "](http" not in row


def test_a_picture_is_whole_inside_its_markdown(federation):
    picture = draw_pictures(build_report(federation()), media="png")[0]

    text = picture_markdown(picture.content, picture.alt)

    head, _, body = text.partition("](data:image/png;base64,")
    assert head.startswith("![AUROC runs from")
    assert base64.b64decode(body.removesuffix(")"), validate=True) == picture.content


def test_what_was_missing_stands_above_the_table(federation):
    inputs = federation()
    del inputs.rounds[1]["participants"]["hospital_02"]
    inputs.rounds[1]["missing"]["hospital_02"] = "it answered <b>nothing</b>"

    lines = metrics_table_markdown(build_report(inputs)).splitlines()

    assert lines[0].startswith("**Degraded")
    assert lines[2] == (
        "- hospital\\_02 was missing in round 2: it answered &lt;b&gt;nothing&lt;/b&gt;"
    )
    assert lines[4].startswith("| Metric")


def test_a_whole_report_has_a_row_per_hospital_and_says_what_it_was_made_of(federation):
    told = report_markdown(build_report(federation(hospitals=2))).splitlines()

    (row,) = [line for line in told if line.startswith("| Hospital General 1 |")]
    assert row.endswith("| 4 of 4 |")
    assert "Data `3f3f3f3f3f3f`, seed 7, 4 rounds in 1 min 35 s" in told[-1]


def test_a_report_without_hospitals_is_told_all_the_same(federation):
    told = report_markdown(build_report(federation(hospitals=0, rounds=0, test=None)))

    assert "No round was finished" in told
    assert "| Hospital | Test images |" in told
