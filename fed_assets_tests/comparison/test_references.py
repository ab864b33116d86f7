"""References of a run's kind and of others, and what a run gains over them."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from fed_assets.comparison.reference_rows import over_seeds, reference_part
from fed_assets.comparison.references import (
    WHY_NOT,
    Kind,
    alike,
    difference,
    gain_rows,
    kind_of,
    spread_of,
)
from fed_assets_tests.comparison.conftest import figures_of, interval, with_references

LEARNING = {"network": {"_target_": "net"}, "recipe": {"batch_size": 32}, "threshold": 0.5}
KIND = Kind(
    seed=0,
    rounds=15,
    learning=LEARNING,
    test_digest="test",
    digests={"north": "n", "south": "s"},
)
HIDDEN = {"value": None, "low": None, "high": None, "suppressed": True}


def model(auroc: float, *own: str) -> dict[str, Any]:
    tested = {"auroc": interval(auroc, 0.03), "accuracy": interval(auroc - 0.1, 0.04)}
    return {"test": tested, "own": dict.fromkeys(own, tested)}


def references(**changes: Any) -> dict[str, Any]:
    seed = {
        "pooled": model(0.95, "north", "south"),
        "alone": {"north": model(0.80, "north"), "south": model(0.90, "south")},
    }
    return {
        "rounds": 15,
        "learning": LEARNING,
        "test_digest": "test",
        "digests": {"north": "n", "south": "s"},
        "seeds": {"0": seed},
        **changes,
    }


def test_references_of_the_same_kind_are_found() -> None:
    found = alike(references(), KIND)
    assert found["why_not"] is None
    assert list(found["alone"]) == found["pooled_from"] == ["north", "south"]
    assert found["pooled"]["test"]["auroc"]["value"] == 0.95


@pytest.mark.parametrize(
    ("changes", "why_not"),
    [
        ({"seeds": {"1": {}}}, "seed"),
        ({"rounds": 2}, "rounds"),
        ({"learning": {**LEARNING, "network": {"_target_": "other"}}}, "network"),
        ({"learning": {**LEARNING, "recipe": {"batch_size": 16}}}, "recipe"),
        ({"learning": {**LEARNING, "threshold": 0.4}}, "threshold"),
        ({"learning": None}, "network"),
        ({"digests": {"north": "n", "south": "others"}}, "images"),
        ({"digests": {"west": "w"}}, "images"),
        ({"test_digest": "others"}, "images"),
    ],
)
def test_references_of_another_kind_are_not_and_the_reason_is_said(
    changes: dict[str, Any], why_not: str
) -> None:
    assert alike(references(**changes), KIND) == {"why_not": why_not, "private": False}
    assert why_not in WHY_NOT
    assert alike(None, KIND)["why_not"] == "none"


def test_a_run_that_did_not_record_how_it_learned_has_none() -> None:
    assert alike(references(), replace(KIND, learning=None))["why_not"] == "network"


def test_a_hospital_without_a_reference_leaves_the_others_theirs() -> None:
    more = replace(KIND, digests={**KIND.digests, "own_images": "o"})
    assert list(alike(references(), more)["alone"]) == ["north", "south"]
    fewer = replace(KIND, digests={"north": "n"})
    assert list(alike(references(), fewer)["alone"]) == ["north"]
    assert alike(references(), fewer)["pooled_from"] == ["north", "south"]


def test_the_kind_of_a_report_and_of_its_measurement_are_one() -> None:
    plain = {"seed": 0, "rounds": 15, "data": {"test_digest": "test"}}
    report = plain | {"controls": {"update_protection": "clip"}, "reference_learning": LEARNING}
    measured = report | {"controls": {"update_protection": {"declared": "clip", "enforced": True}}}
    digests = {"north": "n", "south": "s", "silent": None}
    assert kind_of(report, digests) == kind_of(measured, digests) == KIND
    private = report | {"controls": {"update_protection": "differential_privacy"}}
    assert kind_of(private, digests) == replace(KIND, private=True)


def test_a_difference_reaches_as_far_as_both_ends_together() -> None:
    found = difference(interval(0.9, 0.03), interval(0.8, 0.04))
    assert found["value"] == pytest.approx(0.1)
    assert found["low"] == pytest.approx(0.1 - 0.05)
    assert found["high"] == pytest.approx(0.1 + 0.05)
    assert set(difference(interval(0.9, 0.03), {}).values()) == {None}


def rows_of(own: dict[str, Any]) -> dict[tuple[Any, ...], dict[str, Any]]:
    test = {"auroc": interval(0.94, 0.02), "accuracy": interval(0.85, 0.03)}
    rows = gain_rows(alike(references(), KIND), test, own)
    return {
        tuple(row[key] for key in ("hospital", "images", "against", "metric")): row for row in rows
    }


def test_each_hospital_gains_over_alone_and_the_federation_loses_against_pooled() -> None:
    rows = rows_of({"north": {"auroc": interval(0.9, 0.05), "accuracy": interval(0.8, 0.05)}})
    assert rows[None, "test", "pooled", "auroc"]["value"] == pytest.approx(-0.01)
    assert rows["north", "test", "alone", "auroc"]["value"] == pytest.approx(0.14)
    assert rows["south", "test", "alone", "accuracy"]["reference"] == pytest.approx(0.8)
    assert rows["north", "own", "alone", "auroc"]["value"] == pytest.approx(0.1)
    assert rows["north", "own", "pooled", "accuracy"]["value"] == pytest.approx(-0.05)
    assert ("south", "own", "alone", "auroc") not in rows  # it was not evaluated
    gain = spread_of(rows.values(), "auroc")
    assert gain == {
        "mean": pytest.approx(0.09),
        "least": pytest.approx(0.04),
        "most": pytest.approx(0.14),
        "hospitals": 2,
    }


def test_what_a_hospital_withholds_is_withheld_of_its_references_too() -> None:
    rows = rows_of({"north": {"auroc": HIDDEN, "accuracy": interval(0.8, 0.05)}})
    for against in ("alone", "pooled"):
        hidden = rows["north", "own", against, "auroc"]
        assert hidden.pop("withheld") is True
        assert {hidden[key] for key in ("federated", "reference", "value", "low", "high")} == {None}
        assert rows["north", "own", against, "accuracy"]["value"] is not None
    assert "0.77" not in json.dumps(list(rows.values()))


def test_over_seeds_there_is_an_interval_and_of_one_seed_there_is_none() -> None:
    row = over_seeds({2: 0.5, 0: 0.4, 1: 0.6}, least=0)
    # Student's t of two degrees of freedom, 4.303, times 0.1 / sqrt(3).
    assert (row["value"], row["low"]) == (pytest.approx(0.5), pytest.approx(0.5 - 0.2484, abs=1e-4))
    assert row["seeds"] == [0, 1, 2] and row["values"] == [0.4, 0.6, 0.5]
    one = over_seeds({3: 0.5}, least=0)
    assert (one["value"], one["low"], one["high"], one["runs"]) == (0.5, None, None, 1)
    assert over_seeds({}, least=0)["value"] is None
    assert over_seeds({0: 0.0, 1: 1.0}, least=0)["low"] == 0.0


@pytest.fixture
def part() -> dict[str, Any]:
    """Returns two sandboxes over two seeds, of which one run has no references of its kind."""
    runs = {name: [figures_of(name, seed) for seed in (0, 1)] for name in ("minimal", "eyes_on")}
    for of in runs.values():
        for run in of:
            with_references(run)
    runs["eyes_on"][1]["references"] = {"why_not": "rounds", "private": False}
    return reference_part({**runs, "eyes_off": []})


def row_of(rows: list[Any], **wanted: Any) -> dict[str, Any]:
    (found,) = [row for row in rows if wanted.items() <= row.items()]
    return found


def test_models_and_gains_stand_there_by_sandbox_and_seed(part: dict[str, Any]) -> None:
    pooled = row_of(part["models"], model="pooled", metric="auroc")
    assert pooled["seeds"] == [0, 1] and pooled["low"] < pooled["value"] < pooled["high"]
    least = row_of(part["models"], model="alone_least", metric="auroc")
    most = row_of(part["models"], model="alone_most", metric="auroc")
    mean = row_of(part["models"], model="alone_mean", metric="auroc")
    assert least["value"] < mean["value"] < most["value"] < pooled["value"]
    known = {"sandbox": "minimal", "metric": "auroc"}
    over_pooled = row_of(part["gains"], **known, against="pooled")
    federated = row_of(part["models"], **known, model="federated")
    assert over_pooled["value"] == pytest.approx(federated["value"] - pooled["value"])
    of_hospitals = [
        row["value"]
        for row in part["gains"]
        if known.items() <= row.items() and row["hospital"] is not None
    ]
    assert len(of_hospitals) == 10
    over_alone = row_of(part["gains"], **known, against="alone", hospital=None)
    assert over_alone["value"] == pytest.approx(sum(of_hospitals) / 10)


def test_a_run_without_references_of_its_kind_is_named_and_not_counted(
    part: dict[str, Any],
) -> None:
    assert part["not_compared"] == [{"sandbox": "eyes_on", "seed": 1, "why_not": "rounds"}]
    gain = row_of(part["gains"], sandbox="eyes_on", metric="auroc", against="pooled")
    assert gain["seeds"] == [0] and gain["low"] is None
    missing = row_of(part["models"], sandbox="eyes_off", metric="auroc")
    assert missing["value"] is None and missing["seeds"] == []
    assert not [row for row in part["gains"] if row["sandbox"] == "eyes_off"]


def test_without_any_reference_there_is_no_row_and_the_reason_stands_there() -> None:
    part = reference_part({"minimal": [figures_of("minimal", 0)]})
    assert part["models"] == part["gains"] == []
    assert part["not_compared"] == [{"sandbox": "minimal", "seed": 0, "why_not": "none"}]


def test_where_all_resamples_of_both_agree_a_difference_has_no_interval() -> None:
    perfect = {"value": 1.0, "low": 1.0, "high": 1.0}
    assert difference(perfect, perfect) == {"value": 0.0, "low": None, "high": None}
    known = difference(perfect, {"value": 0.9, "low": 0.8, "high": 1.0})
    assert known["low"] is not None and known["low"] < known["value"]


def test_where_all_seeds_agree_there_is_no_interval_over_them() -> None:
    same = over_seeds({0: 0.0, 1: 0.0}, least=-1)
    assert (same["value"], same["low"], same["high"]) == (0.0, None, None)
    assert same["interval_from"] == "no_width"
    assert over_seeds({0: 0.0, 1: 0.1}, least=-1)["interval_from"] == "seeds"
    assert over_seeds({0: 0.0}, least=-1)["interval_from"] is None
