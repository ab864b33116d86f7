from __future__ import annotations

import itertools
import json
from typing import Any

import numpy as np
import pytest

from fed_assets.errors import DisclosureRefused, RosterError, RunConfigError, SourceCorrupt
from fed_assets.hospital.evaluation import record
from fed_assets.hospital.expectations import _rules
from fed_assets.hospital.metrics import METRICS, Predictions, drawn_values
from fed_assets.hospital.small_counts import limit_of
from fed_assets.hospital.suppression import (
    FROM_BINS,
    FROM_CLASSES,
    FROM_CONFUSION,
    OF_CLASSES,
    SUPPRESSED,
    WANTING,
    disclosed,
    disclosed_error,
    disclosed_round,
    is_told,
)
from fed_assets.hospital.validation import LIMITS

K = 10
Answer = dict[str, Any]


def images(*, unknown: int = 0, unreadable: int = 0, **counts: tuple[int, int]) -> Answer:
    """Returns the answer of a hospital with images of two classes in each split."""
    empty = dict.fromkeys(("train", "validation", "test"), (0, 0))
    rows = {split: {"ill": a, "well": b} for split, (a, b) in (empty | counts).items()}
    return {
        "digest": "d",
        "classes": ["ill", "well"],
        "channels": 1,
        "image_size": 28,
        "synthetic": False,
        "images": sum(sum(row.values()) for row in rows.values()) + unknown,
        "counts": rows,
        "unreadable": unreadable,
        "unknown_labels": unknown,
        "patients": None,
        "copies": 0,
        "unsettled": 0,
    }


def finding(count: int, of: int, name: str = "readable") -> Answer:
    about = {"name": name, "description": "It is so.", "severity": "error"}
    return {**about, "passed": count == 0, "count": count, "of": of}


def found(*findings: Answer) -> list[tuple[Any, Any]]:
    """Returns count and whole of each finding as they leave."""
    answer = {"digest": "d", "passed": False, "findings": list(findings)}
    return [
        (each["count"], each["of"]) for each in disclosed("validate_images", answer, K)["findings"]
    ]


def evaluation(confusion: list[list[int]], *, resamples: int = 10) -> Answer:
    """Returns the answer on test images that were named so: rows are true, columns named."""
    cells = list(itertools.product(range(len(confusion)), repeat=2))
    pairs = np.repeat(cells, [confusion[true][named] for true, named in cells], axis=0)
    classes = len(confusion)
    scores = np.full((len(pairs), classes), 0.1)
    scores[np.arange(len(pairs)), pairs[:, 1]] = 0.9
    predictions = Predictions(pairs[:, 0], scores / scores.sum(axis=1, keepdims=True))
    names = [str(number) for number in range(classes)]
    drawn = drawn_values(predictions, resamples=resamples, seed=0)
    return {**record(predictions, names, drawn), "seconds": 1.0}


def told_metrics(answer: Answer) -> set[str]:
    metrics = disclosed("evaluate", answer, K)["metrics"]
    hidden = {name for name, metric in metrics.items() if metric.get(SUPPRESSED)}
    for name in hidden:
        assert metrics[name] == {"value": None, "low": None, "high": None, SUPPRESSED: True}
    return set(metrics) - hidden


def test_a_count_is_small_from_one_to_one_less_than_the_limit() -> None:
    assert [count for count in range(13) if not is_told([count], K)] == list(range(1, K))


def test_full_statistics_leave_as_they_are() -> None:
    for task, answer in (
        ("prepare_images", images(train=(3, 50))),
        ("evaluate", evaluation([[1, 2], [3, 4]])),
        ("contact_sheet", {"png_base64": "…"}),
    ):
        assert disclosed(task, answer, 0) is answer


def test_a_row_with_a_small_count_is_hidden_whole_because_its_sum_is_known() -> None:
    whole = images(train=(3, 50), validation=(12, 12), test=(20, 0))
    told = disclosed("prepare_images", whole, K)
    assert told["counts"] == {
        "train": {"ill": SUPPRESSED, "well": SUPPRESSED},
        "validation": {"ill": 12, "well": 12},
        "test": {"ill": 20, "well": 0},
    }
    assert told["images"] == 97


def test_where_a_split_is_small_the_sum_over_the_splits_is_hidden_too() -> None:
    whole = images(train=(30, 50), validation=(3, 2), test=(20, 10)) | {"patients": 115}
    told = disclosed("prepare_images", whole, K)
    assert told["images"] == told["patients"] == SUPPRESSED
    assert told["counts"]["validation"] == {"ill": SUPPRESSED, "well": SUPPRESSED}
    assert told["counts"]["train"] == {"ill": 30, "well": 50}
    assert told["counts"]["test"] == {"ill": 20, "well": 10}


def test_labels_that_are_unknown_are_the_sum_less_the_splits() -> None:
    told = disclosed("prepare_images", images(train=(30, 50), unknown=4), K)
    assert told["unknown_labels"] == told["images"] == SUPPRESSED
    assert disclosed("prepare_images", images(train=(30, 50), unknown=14), K)["images"] == 94


@pytest.mark.parametrize(
    ("unreadable", "told"), [(0, 0), (4, SUPPRESSED), (14, 14), (75, SUPPRESSED), (80, 80)]
)
def test_of_unreadable_images_neither_few_nor_all_but_few_are_told(
    unreadable: int, told: int | str
) -> None:
    whole = images(train=(30, 50), unreadable=unreadable)
    assert disclosed("prepare_images", whole, K)["unreadable"] == told


@pytest.mark.parametrize(("patients", "told"), [(None, None), (4, SUPPRESSED), (40, 40)])
def test_few_patients_are_not_told(patients: int | None, told: int | str | None) -> None:
    whole = images(train=(30, 50)) | {"patients": patients}
    assert disclosed("prepare_images", whole, K)["patients"] == told


def test_nobody_can_reckon_back_a_small_count_from_all_that_is_told_of_the_images() -> None:
    """Tries every hospital that would answer the same: one hidden count has several values."""
    sizes = (0, 1, 2, 4, 5, 6)
    rows = [(a, b) for a in sizes for b in sizes]
    answers: dict[str, list[tuple[int, ...]]] = {}
    for train, test in itertools.product(rows, rows):
        whole = images(train=train, test=test)
        told = disclosed("prepare_images", whole, 5)
        # FedAvg's weight, and the test images of an evaluation, are told beside the counts.
        beside = [sum(split) if is_told([sum(split)], 5) else SUPPRESSED for split in (train, test)]
        answers.setdefault(json.dumps([told, beside]), []).append((*train, *test))
    for alike in answers.values():
        for cell in range(4):
            values = {counts[cell] for counts in alike}
            assert len(values) > 1 or is_told(values, 5), alike


@pytest.mark.parametrize(
    ("count", "of", "told"),
    [(0, 90, 0), (4, 90, SUPPRESSED), (14, 90, 14), (85, 90, SUPPRESSED), (90, 90, SUPPRESSED)],
)
def test_a_check_says_how_many_fail_unless_few_do_or_all_but_few(
    count: int, of: int, told: int | str
) -> None:
    assert found(finding(count, of)) == [(told, SUPPRESSED)]


def test_a_check_does_not_say_how_many_images_are_wanting() -> None:
    assert found(finding(13, 30, WANTING), finding(0, 20, WANTING)) == [
        (SUPPRESSED, SUPPRESSED),
        (0, SUPPRESSED),
    ]


def test_classes_are_no_patients() -> None:
    rules = _rules(LIMITS, 2)
    assert {rule.name for rule in rules if rule.table == "classes"} == OF_CLASSES
    assert WANTING in {rule.name for rule in rules}
    assert found(finding(1, 2, "enough_images_per_class")) == [(1, 2)]


def test_every_metric_rests_on_something() -> None:
    assert METRICS.keys() == FROM_CLASSES | FROM_CONFUSION | FROM_BINS
    assert len(FROM_CLASSES) + len(FROM_CONFUSION) + len(FROM_BINS) == len(METRICS)


def test_a_large_test_set_whose_cells_are_large_is_told_but_for_its_curve() -> None:
    whole = evaluation([[40, 12], [15, 90]])
    told = disclosed("evaluate", whole, K)
    assert told_metrics(whole) == METRICS.keys()
    assert told["confusion"] == [[40, 12], [15, 90]]
    assert (told["images"], told["roc"]) == (157, SUPPRESSED)


def test_few_errors_hide_every_rate_and_leave_the_area_under_the_curve() -> None:
    """11 of 157 wrong: accuracy 0.930 beside 157 images says so."""
    whole = evaluation([[45, 7], [4, 101]])
    told = disclosed("evaluate", whole, K)
    assert told_metrics(whole) == {"auroc"}
    assert told["confusion"] == told["calibration"] == SUPPRESSED
    assert told["images"] == 157


def test_few_images_of_a_class_hide_all_metrics_and_of_all_classes_their_number_too() -> None:
    few = evaluation([[3, 0], [0, 40]])
    assert told_metrics(few) == set()
    assert disclosed("evaluate", few, K)["images"] == 43
    assert disclosed("evaluate", evaluation([[3, 0], [0, 5]]), K)["images"] == SUPPRESSED


def test_a_metric_that_is_not_defined_is_not_said_to_be_suppressed() -> None:
    told = disclosed("evaluate", evaluation([[0, 0], [0, 40]]), K)
    assert told["metrics"]["auroc"] == {"value": None, "low": None, "high": None}


def test_several_classes_are_judged_by_the_smallest() -> None:
    assert told_metrics(evaluation([[30, 0, 0], [0, 30, 0], [0, 1, 29]])) >= FROM_CLASSES
    assert not told_metrics(evaluation([[30, 0, 0], [0, 30, 0], [0, 0, 9]])) & FROM_CLASSES


def test_what_has_no_rule_does_not_leave() -> None:
    with pytest.raises(DisclosureRefused, match=r"no rule.*Seen: png_base64"):
        disclosed("contact_sheet", {"png_base64": "…"}, K)
    with pytest.raises(DisclosureRefused, match=r"no rule.*Seen: resampled"):
        disclosed("evaluate", evaluation([[40, 12], [15, 90]]) | {"resampled": {}}, K)
    with pytest.raises(DisclosureRefused, match=r"no rule.*Seen: per_patient"):
        disclosed("prepare_images", images() | {"per_patient": [1, 2]}, K)
    assert disclosed("clear_away", {}, K) == {}
    assert disclosed("rotate_key", {"files": 3}, K) == {"files": 3}


ROUND = {"auroc": 0.9, "accuracy": 0.8, "loss": 0.4}


def test_a_rounds_metrics_are_withheld_by_name() -> None:
    few = disclosed_round(ROUND, [[45, 7], [4, 101]], examples=500, below=K)
    assert few == ({"auroc": 0.9, "loss": 0.4}, ["accuracy"])
    fewer = disclosed_round(ROUND, [[3, 0], [0, 40]], examples=500, below=K)
    assert fewer == ({"loss": 0.4}, ["accuracy", "auroc"])
    assert disclosed_round(ROUND, [[3, 0], [0, 40]], examples=5, below=0) == (ROUND, [])
    assert disclosed_round({}, [[0, 0], [0, 0]], examples=500, below=K) == ({}, [])


def test_a_hospital_with_few_training_images_sends_no_update() -> None:
    with pytest.raises(DisclosureRefused, match="too few training images") as caught:
        disclosed_round(ROUND, [[45, 7], [4, 101]], examples=9, below=K)
    assert "9" not in str(caught.value)
    assert disclosed_round(ROUND, [[45, 17], [14, 101]], examples=10, below=K) == (ROUND, [])


def test_an_error_about_the_data_tells_no_number() -> None:
    error = SourceCorrupt(
        "Fewer images than listed", seen="3 of 17; gray8, 0 of split 2.", where="/a/7"
    )
    told = disclosed_error(error, K)
    assert type(told) is SourceCorrupt
    assert told.seen == "… of …; gray8, 0 of split …."
    assert (told.what, told.where, told.cure) == (error.what, "/a/7", error.cure)
    assert disclosed_error(error, 0) is error


def test_an_error_about_what_was_asked_stays_whole() -> None:
    error = RosterError("No such size", seen="4 pixels")
    assert disclosed_error(error, K) is error


@pytest.mark.parametrize("below", [None, True, False, 1, 2, -3, "10", 9.5])
def test_a_process_that_was_not_told_what_to_suppress_is_refused(below: Any) -> None:
    with pytest.raises(RunConfigError, match="not told which counts"):
        limit_of({"suppress_below": below})


def test_a_process_that_was_told_nothing_is_refused_too() -> None:
    with pytest.raises(RunConfigError, match="suppress_below=None"):
        limit_of({})
    assert [limit_of({"suppress_below": below}) for below in (0, 3, 10)] == [0, 3, 10]
