from __future__ import annotations

import numpy as np
import pytest

from fed_assets.comparison.cells import cell
from fed_assets.comparison.criteria import CRITERIA, OF_HOSPITALS, OF_SANDBOXES, criteria_of
from fed_assets.comparison.criterion import GROUPS, read_hospital, read_sandbox
from fed_assets.comparison.readings import Reading
from fed_assets.errors import MeasurementError
from fed_assets.hospital.metrics import (
    METRICS,
    Predictions,
    drawn_values,
    resampled,
    with_intervals,
)
from fed_assets.hospital.resamples import FIRST, told_resamples
from fed_assets_tests.comparison.conftest import with_resamples


def value(name: str, record: dict, hospital: str | None = None) -> float | None:
    (criterion,) = criteria_of([name])
    read = (
        read_hospital(criterion, record, hospital) if hospital else read_sandbox(criterion, record)
    )
    return None if read is None else read.value


def test_names_are_unique_and_every_group_has_criteria() -> None:
    assert len({each.name for each in CRITERIA}) == len(CRITERIA)
    assert {each.group for each in OF_SANDBOXES} == set(GROUPS)


def test_a_difference_matters_from_above_indifference_on() -> None:
    for each in CRITERIA:
        assert 0 <= each.indifference < each.preference, each.name


def test_every_criterion_is_read_from_a_whole_record(measured) -> None:
    record = measured("configurable", efficiency__energy_joules=900.0, efficiency__cost=0.4)
    for each in OF_SANDBOXES:
        assert read_sandbox(each, record) is not None, each.name
    for each in OF_HOSPITALS:
        assert read_hospital(each, record, "hospital_03") is not None, each.name


@pytest.mark.parametrize("section", ["efficiency", "security", "quality", "effort", "hospitals"])
def test_a_section_that_is_missing_is_not_measured_and_not_zero(measured, section) -> None:
    record = measured(**{section: None})
    del record[section]
    for each in OF_SANDBOXES:
        if each.group == section:
            assert read_sandbox(each, record) is None, each.name
    if section == "hospitals":
        assert all(read_hospital(each, record, "hospital_01") is None for each in OF_HOSPITALS)


def test_an_inconclusive_probe_did_not_pass_and_no_probes_are_no_share(measured) -> None:
    probes = {"passed": 3, "inconclusive": 1, "failed": 0}
    assert value("probes_passed", measured(security__probes=probes)) == 0.75
    assert value("probes_passed", measured(security__probes=None)) is None
    none = dict.fromkeys(probes, 0)
    assert value("probes_passed", measured(security__probes=none)) is None


def test_an_attack_worse_than_guessing_has_no_advantage_and_says_what_was_measured(
    measured,
) -> None:
    attack = {"value": -0.03, "low": -0.05, "high": 0.01}
    (criterion,) = criteria_of(["membership_advantage"])
    read = read_sandbox(criterion, measured(security__membership_advantage=attack))
    assert (read.value, read.low, read.high) == (-0.03, -0.05, 0.01)
    of_one = cell(criterion, [read])
    assert (of_one.value, of_one.low, of_one.high) == (0.0, 0.0, 0.01)
    assert of_one.as_row()["measured_below"] == -0.03
    # Chance puts some runs below zero and some above: the mean is cut, and not each of them.
    of_two = cell(criterion, [read, Reading(0.05, 0.0, 0.1)])
    assert of_two.value == pytest.approx(0.01)
    assert of_two.as_row()["measured_below"] is None
    assert value("membership_advantage", measured(security__membership_advantage=None)) is None
    record = measured(hospitals__hospital_01__membership_advantage=attack)
    assert value("membership_advantage", record, "hospital_01") == -0.03
    assert value("membership_advantage", record, "hospital_02") == 0.03
    del record["hospitals"]["hospital_02"]["membership_advantage"]
    assert value("membership_advantage", record, "hospital_02") is None


def test_no_bound_on_epsilon_is_the_worst_value_and_an_unknown_epsilon_is_none(measured) -> None:
    assert value("membership_bound", measured(security__epsilon=None)) == 1.0
    assert value("membership_bound", measured(security__epsilon=1.0)) == pytest.approx(
        0.4621, abs=1e-4
    )
    unknown = measured()
    del unknown["security"]["epsilon"]
    assert value("membership_bound", unknown) is None
    assert value("membership_bound", measured(security__epsilon=1.0, security__delta=None)) is None


def test_a_hospitals_bound_takes_the_sandboxs_delta(measured) -> None:
    record = measured("configurable", security__delta=0.5, hospitals__hospital_01__epsilon=1.0)
    assert value("membership_bound", record, "hospital_01") == pytest.approx(
        0.4621 + 0.2689, abs=1e-4
    )


@pytest.mark.parametrize(
    "path, wrong, name",
    [
        ("security__at_rest", 5, "at_rest"),
        ("efficiency__wall_seconds", -1.0, "wall_seconds"),
        ("security__epsilon", -0.5, "membership_bound"),
        ("security__epsilon", "eight", "membership_bound"),
        ("quality__auroc", {"value": 1.2}, "auroc"),
        ("security__membership_advantage", {"value": -1.2}, "membership_advantage"),
        ("resampled", {"of": "5a", "values": {"auroc": 0.9}}, "auroc"),
        ("resampled", {"values": {"auroc": [0.9, 0.8]}}, "auroc"),
        ("resampled", {"of": "5a", "values": {"auroc": [0.9, "high"]}}, "auroc"),
        ("quality__auroc", {"value": 0.9, "low": 0.8, "high": 3.0}, "auroc"),
        ("quality__auroc", {"value": 0.535, "low": 0.9, "high": 0.95}, "auroc"),
        ("quality__f1", {"value": 0.9, "low": -0.1, "high": 0.95}, "f1"),
        ("resampled", {"of": "5a", "values": {"auroc": [5.0, 14.99]}}, "auroc"),
        ("resampled", {"of": "5a", "values": {"auroc": [0.97, None], "f1": [0.9]}}, "auroc"),
    ],
)
def test_what_cannot_be_is_refused_by_name(measured, path, wrong, name) -> None:
    with pytest.raises(MeasurementError, match=rf"Where: {name} of minimal, seed 0\."):
        value(name, measured(**{path: wrong}))


@pytest.mark.parametrize(
    "damage, seen",
    [
        (lambda values: values["auroc"].__setitem__(3, 5.0), "is from 0 to 1.* Seen: 5"),
        (lambda values: values.update(auroc=values["auroc"][:7]), "equally many.* 7 of auroc, 500"),
        (
            lambda values: values.update({name: of[:7] for name, of in values.items()}),
            "not that of its resamples.* by 7 resamples",
        ),
        (
            lambda values: values.update(auroc=[each - 0.1 for each in values["auroc"]]),
            "not that of its resamples.* by 500 resamples",
        ),
    ],
)
def test_resamples_that_are_not_those_of_the_interval_are_refused(measured, damage, seen) -> None:
    record = with_resamples(measured())
    assert value("auroc", record) == 0.979
    damage(record["resampled"]["values"])
    with pytest.raises(MeasurementError, match=seen):
        value("auroc", record)


def test_what_resampling_moves_may_lie_beside_its_interval(measured) -> None:
    # Of 300 images that a well calibrated model names, the resamples are all further off.
    drawn = {"value": 0.021, "low": 0.024, "high": 0.09}
    assert value("calibration_error", measured(quality__calibration_error=drawn)) == 0.021
    attack = {"value": -0.03, "low": -0.02, "high": 0.01}
    assert value("membership_advantage", measured(security__membership_advantage=attack)) == -0.03
    with pytest.raises(MeasurementError, match=r"not within its interval.*0\.021, and 0\.024 to"):
        value("auroc", measured(quality__auroc=drawn))


def test_what_an_evaluation_tells_can_be(measured) -> None:
    generator = np.random.default_rng(0)
    sure = generator.uniform(size=60)
    images = Predictions(
        labels=(generator.uniform(size=60) < sure).astype(int),
        probabilities=np.stack([1 - sure, sure], axis=1),
    )
    drawn = drawn_values(images, resamples=200, seed=0)
    found = with_intervals(images, drawn)
    first = resampled(60, resamples=FIRST, seed=0)
    told = told_resamples(drawn, list(METRICS), images="5a", first=first)
    renamed = {"calibration_error": "expected_calibration_error"}
    for name in ("auroc", "accuracy", "f1", "calibration_error"):
        metric = renamed.get(name, name)
        record = measured(resampled=told | {"values": {name: told["values"][metric]}})
        record["quality"][name] = found[metric]
        assert value(name, record) == found[metric]["value"]
