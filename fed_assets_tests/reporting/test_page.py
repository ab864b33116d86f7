from __future__ import annotations

import re
from dataclasses import replace
from itertools import pairwise

import pytest

from fed_assets.reporting.markdown import gains_markdown, metrics_table_markdown
from fed_assets.reporting.page import render_page
from fed_assets.reporting.report import build_report
from fed_assets_tests.reporting.html_page import HtmlPage

LOADS = {"src", "srcset", "href", "data", "poster", "action", "background"}


@pytest.fixture
def page(federation):
    """Returns a maker of parsed pages, with the page's HTML beside it."""

    def make(**changes):
        html = render_page(build_report(federation(**changes)))
        return HtmlPage(html), html

    return make


def test_the_page_asks_for_nothing_from_outside(page):
    parsed, html = page(hospitals=10)

    for tag, attributes in parsed.tags:
        for name in LOADS & set(attributes):
            assert attributes[name].startswith(("data:", "#")), (tag, name)
    assert not {"script", "iframe", "object", "embed"} & {tag for tag, _ in parsed.tags}
    assert not re.search(r"@import|url\(", html)
    policy = [each["content"] for each in parsed.all("meta") if "http-equiv" in each]
    assert policy == ["default-src 'none'; img-src data:; style-src 'unsafe-inline'"]


def test_every_picture_has_words_and_a_night_form(page):
    parsed, _ = page()

    pictures = parsed.all("img")
    assert len(pictures) == 5
    assert all(len(each["alt"]) > 40 for each in pictures)
    night = parsed.all("source")
    assert [each["media"] for each in night] == ["(prefers-color-scheme: dark)"] * 5
    assert not {each["srcset"] for each in night} & {each["src"] for each in pictures}


def test_tables_and_headings_can_be_walked_without_seeing_them(page):
    parsed, _ = page(excluded={"hospital_09": "no data"})

    assert all(each.get("scope") in ("col", "row") for each in parsed.all("th"))
    assert len(parsed.all("caption")) == len(parsed.all("table")) > 5
    levels = [int(tag[1]) for tag, _ in parsed.tags if re.fullmatch(r"h[1-6]", tag)]
    assert levels[0] == 1 and levels.count(1) == 1
    assert all(after - before <= 1 for before, after in pairwise(levels))
    targets = {each["id"] for _, each in parsed.tags if "id" in each}
    assert {each["href"][1:] for each in parsed.all("a")} <= targets
    assert parsed.all("html") == [{"lang": "en"}]


def test_the_short_answer_comes_first_and_names_the_worst(page):
    parsed, _ = page()

    answer = " ".join(parsed.text["section"][0].split())

    assert answer.startswith("The short answer On the common test set of 624 images")
    assert "0.960 (0.930\N{EN DASH}0.980)" in answer
    assert "Weakest hospital by AUROC Klinikum Görlitz 3" in answer
    assert "3 of 3 Complete" in answer


def test_a_degraded_federation_says_why_at_the_top(page):
    parsed, _ = page(hospitals=2, excluded={"hospital_09": "3 of 20 images are unreadable."})

    answer = parsed.text["section"][0]

    assert "Degraded" in answer and "Complete" not in answer
    assert "hospital_09 was left out before training: 3 of 20 images are unreadable." in answer


def test_a_hospital_that_missed_rounds_is_named_with_them_at_the_top(federation):
    inputs = federation(rounds=6)
    for record in inputs.rounds[1:5]:
        del record["participants"]["hospital_03"]
        record["missing"]["hospital_03"] = "it did not answer within 600 s"

    answer = " ".join(HtmlPage(render_page(build_report(inputs))).text["section"][0].split())

    assert "Klinikum Görlitz 3 was missing in rounds 2-5: it did not answer within 600 s." in answer


@pytest.mark.parametrize(
    ("last", "said"), [(1, "round 1 is of that run"), (3, "rounds 1-3 are of that run")]
)
def test_rounds_of_an_earlier_run_are_told_apart(page, last, said):
    parsed, _ = page(resumed_from={"run": "1a2b3c4d-1111-2222", "round": last})
    plain, _ = page()

    assert f"went on from run 1a2b3c4d, which had failed: {said}" in parsed.text["section"][3]
    assert "went on from" not in plain.text["main"][0]


def test_synthetic_data_is_said_in_title_header_and_every_caption(page):
    parsed, _ = page(synthetic=True)
    _, real = page()

    assert parsed.text["title"][0].startswith("SYNTHETIC DATA")
    assert parsed.text["h1"][0].startswith("SYNTHETIC DATA")
    assert parsed.text["caption"]
    assert all(text.startswith("SYNTHETIC DATA.") for text in parsed.text["caption"])
    assert all(each["alt"].startswith("SYNTHETIC DATA.") for each in parsed.all("img"))
    assert "SYNTHETIC" not in real


def test_a_hospital_named_script_stays_text(federation):
    inputs = federation(excluded={"hospital_03": "<img src=x onerror=alert(1)>"})
    inputs.roster[0]["name"] = "<script>alert(1)</script>"
    inputs.data["name"] = "</title><script>"
    inputs.controls["transport"] = "<b onclick=x>"

    html = render_page(build_report(inputs))

    assert not {"script", "b"} & {tag for tag, each in HtmlPage(html).tags if tag != "b" or each}
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in html
    assert "<img src=x" not in html


def test_a_hospital_with_nulls_reads_as_undefined(federation, undefined):
    inputs = federation()
    inputs.hospitals["hospital_02"] = undefined

    text = HtmlPage(render_page(build_report(inputs))).text["section"][2]

    assert "undefined (one class only)" in text
    assert "None" not in text and "nan" not in text.lower()


def test_no_rounds_and_nothing_evaluated_is_still_a_page(page):
    parsed, _ = page(rounds=0, test=None, hospitals=0)

    text = parsed.text["main"][0]

    assert "The global model was not evaluated." in text
    assert "There is nothing to draw" in text
    assert "No round was finished." in text


def test_without_common_test_set_the_answer_is_the_mean_over_hospitals(page):
    parsed, _ = page(test=None)

    answer = " ".join(parsed.text["section"][0].split())

    assert "There is no common test set." in answer
    assert "0.940" in answer


def test_one_hospital_is_compared_with_nobody(page):
    parsed, _ = page(hospitals=1, rounds=1)

    assert "not comparable" in parsed.text["section"][0]
    assert "lowest" not in parsed.text["section"][2]


def test_five_classes_say_that_metrics_are_means_over_them(page):
    parsed, _ = page(classes=("a", "b", "c", "d", "e"))

    assert "With 5 classes" in parsed.text["section"][2]


@pytest.mark.parametrize(
    ("previews", "left", "stayed"),
    [
        ("yes", "this sandbox allows previews", "but for the previews"),
        ("no", None, "to the last pixel"),
    ],
)
def test_the_data_officer_reads_whether_pictures_left(page, previews, left, stayed):
    parsed, _ = page(controls={"previews": previews, "statistics": "full"})

    text = parsed.text["section"][4]

    assert ("this sandbox allows previews" in text) is (left is not None)
    assert stayed in text


def test_what_a_hospital_sent_stands_with_its_missing_rounds(federation):
    inputs = federation(rounds=2)
    del inputs.rounds[1]["participants"]["hospital_03"]
    inputs.rounds[1]["missing"]["hospital_03"] = "no answer within 60 s"

    parsed = HtmlPage(render_page(build_report(inputs)))

    rounds = parsed.text["section"][3]
    assert "1 missing" in rounds and "no answer within 60 s" in rounds
    assert "1.0 MB" in rounds
    assert "1 of 2" in parsed.text["section"][4]


def test_what_was_spent_of_privacy_stands_with_what_it_covers(federation):
    inputs = federation(
        rounds=2,
        controls={"update_protection": "differential_privacy"},
        numbers={"update_protection": {"epsilon": 8.0, "delta": 1e-5}},
        threshold={"value": 0.35, "hospitals": 2},
    )
    for record in inputs.rounds:
        for sent in record["participants"].values():
            sent |= {"loss": None, "suppressed": ["loss"], "delta": 1e-5}
            sent["epsilon"] = 4.0 * record["round_number"] - 0.004
    report = build_report(inputs)
    parsed = HtmlPage(render_page(report))

    assert report["sent"]["hospital_02"]["epsilon"] == 7.996
    assert words(parsed, 4).count("8.00delta 1e-05") == 3
    assert "bounds what the weights" in words(parsed, 4)
    assert "none is claimed of a hospital as a whole" in words(parsed, 4)
    assert "training loss" not in words(parsed, 4)
    # Of two rounds the mean, and each of three hospitals; once why.
    assert words(parsed, 3).count("not released") == 2 + 6 + 1
    assert "so telling it would cost privacy" in words(parsed, 3)
    for other in ("suppressed", "not recorded", "not given"):
        assert other not in words(parsed, 3)
    assert not any("Loss" in each["alt"] for each in parsed.all("img"))
    assert "differential privacy (epsilon 8, delta 1e-05)" in words(parsed, 5)
    assert "0.35, chosen on the validation images of 2 hospitals" in words(parsed, 6)


def test_without_privacy_nothing_is_said_of_epsilon(federation):
    inputs = federation(threshold={"value": 0.5, "hospitals": 0})
    parsed = HtmlPage(render_page(build_report(inputs)))

    assert "psilon" not in words(parsed, 4)
    assert "training loss" in words(parsed, 4)
    assert "not released" not in words(parsed, 3)
    assert "the loss is that of the round's training" in words(parsed, 3)
    assert any("Loss: while training" in each["alt"] for each in parsed.all("img"))
    assert "0.5, the roster's" in words(parsed, 6)


def suppressed_evaluation(evaluation):
    hidden = {"value": None, "low": None, "high": None, "suppressed": True}
    metrics = {name: hidden for name in evaluation["metrics"]}
    counts = dict.fromkeys(("images", "roc", "confusion", "calibration"), "suppressed")
    return {**evaluation, **counts, "metrics": metrics}


@pytest.fixture
def suppressing(federation):
    """Returns a maker of report inputs in which as many hospitals as asked withhold all."""

    def make(hidden):
        inputs = federation(
            controls={"previews": "no", "statistics": "small_counts_suppressed"}, suppress_below=10
        )
        for name in list(inputs.hospitals)[:hidden]:
            inputs.hospitals[name] = suppressed_evaluation(inputs.hospitals[name])
            for record in inputs.rounds:
                sent = record["participants"][name]
                sent |= {"auroc": None, "accuracy": None, "suppressed": ["auroc", "accuracy"]}
        return inputs

    return make


def test_what_a_hospital_withholds_is_said_to_be_suppressed(suppressing):
    report = build_report(suppressing(1))
    parsed = HtmlPage(render_page(report))

    # Test images, eight metrics; then AUROC and accuracy of four rounds.
    assert parsed.text["section"][2].count("suppressed") == 9
    assert parsed.text["section"][3].count("suppressed") == 8
    assert "undefined" not in parsed.text["section"][2]
    assert "small below 10" in parsed.text["section"][5]
    assert report["hospital_mean"]["auroc"]["hospitals"] == 2
    (picture,) = [each for each in parsed.all("img") if "AUROC runs" in each["alt"]]
    assert "suppressed" in picture["alt"]


def test_a_round_of_hospitals_that_all_withhold_says_so_of_its_means_too(suppressing):
    rounds = words(HtmlPage(render_page(build_report(suppressing(3)))), 3)

    # AUROC and accuracy of four rounds: their means, and those of three hospitals.
    assert rounds.count("suppressed") == 2 * 4 * (1 + 3)
    assert "not recorded" not in rounds


def test_a_figure_that_nobody_gave_and_nobody_withheld_was_not_recorded(federation):
    inputs = federation(rounds=1)
    for sent in inputs.rounds[0]["participants"].values():
        sent["loss"] = None
    rounds = words(HtmlPage(render_page(build_report(inputs))), 3)

    assert rounds.count("not recorded") == 1 + 3


def test_a_report_of_hospitals_that_withhold_all_is_whole(suppressing):
    inputs = replace(suppressing(3), test=None)
    report = build_report(inputs)
    parsed = HtmlPage(render_page(report))

    assert "AUROC is suppressed and its mean accuracy suppressed" in words(parsed, 0)
    assert "few test images of a class" in words(parsed, 0)
    assert "suppressed" in metrics_table_markdown(report)


def gains_of(parsed):
    """Returns the cells of the table of gains by the hospital's name."""
    (table,) = [each for each in parsed.cells if "over training alone" in each[0][1]]
    return {row[0]: row[1:] for row in table[1:]}


def test_what_federation_gains_each_hospital_stands_with_its_interval(referenced):
    report = build_report(referenced())
    parsed = HtmlPage(render_page(report))

    told = words(parsed, 2)
    assert "Over a hospital's training alone: +0.070 AUROC in the mean of 3" in told
    assert "(+0.060 to +0.080)" in told
    assert "Over one model of all images pooled: -0.015 AUROC (95 % interval" in told
    gains = gains_of(parsed)
    assert list(gains) == ["Hospital General 1", "North Fjord Clinic 2", "Klinikum Görlitz 3"]
    assert gains["North Fjord Clinic 2"][0] == "+0.070+0.034 to +0.106alone 0.890"
    assert gains["North Fjord Clinic 2"][4] == "-0.030-0.066 to +0.006pooled 0.970"
    markdown = gains_markdown(report)
    assert "Over one model of all images pooled: -0.015 AUROC" in markdown


def test_without_references_of_its_kind_the_reason_and_the_commands_are_said(referenced):
    report = build_report(referenced(references={"rounds": 15}))
    parsed = HtmlPage(render_page(report))

    told = words(parsed, 2)
    assert "reference models were not trained for 4 rounds. `fed-assets compare` trains" in told
    assert "-j references" in told and "{seeds: [7], rounds: 4}" in told
    assert "over training alone" not in told
    assert "were not trained for 4 rounds" in gains_markdown(report)


def test_what_a_hospital_withholds_is_withheld_of_its_references(referenced):
    inputs = referenced()
    inputs.hospitals["hospital_02"] = suppressed_evaluation(inputs.hospitals["hospital_02"])
    report = build_report(inputs)
    gains = gains_of(HtmlPage(render_page(report)))

    assert gains["North Fjord Clinic 2"][2:] == ["suppressed"] * 4
    assert gains["North Fjord Clinic 2"][0].startswith("+0.070")  # on the common test set
    assert "suppressed" not in gains["Hospital General 1"]
    own = [each for each in report["references"]["rows"] if each["images"] == "own"]
    assert all(each["reference"] is None for each in own if each["hospital"] == "hospital_02")


def test_under_differential_privacy_the_references_are_said_to_be_the_rosters(referenced):
    inputs = referenced(controls={"update_protection": "differential_privacy"})
    told = words(HtmlPage(render_page(build_report(inputs))), 2)

    assert "the references have the roster's, and no privacy" in told
    assert "but for what differential privacy makes another" in told


def test_hospitals_whose_images_were_not_pooled_are_counted(referenced):
    inputs = referenced()
    del inputs.references["digests"]["hospital_03"]
    del inputs.references["seeds"]["7"]["alone"]["hospital_03"]
    del inputs.references["seeds"]["7"]["pooled"]["own"]["hospital_03"]
    parsed = HtmlPage(render_page(build_report(inputs)))

    assert "open images of 2 hospitals; 3 took part in the federation, 2 of them" in words(
        parsed, 2
    )
    assert "Klinikum Görlitz 3" not in gains_of(parsed)


def words(parsed, section):
    return " ".join(parsed.text["section"][section].split())
