from __future__ import annotations

import math

import numpy as np
import pytest

from fed_assets.comparison.cells import cell, moved
from fed_assets.comparison.criteria import OF_HOSPITALS, OF_SANDBOXES, criteria_of
from fed_assets.comparison.features import feature_rows
from fed_assets.comparison.matrix import decision_rows, grid, hospital_rows, sandbox_cells
from fed_assets.comparison.readings import Reading


def of(name: str):
    return criteria_of([name])[0]


def test_one_runs_cell_has_the_measurements_own_interval() -> None:
    one = cell(of("auroc"), [Reading(0.9, 0.8, 0.95)])
    assert (one.value, one.low, one.high, one.basis) == (0.9, 0.8, 0.95, "measurement")
    assert cell(of("wall_seconds"), [Reading(70.0)]).low is None


def test_several_runs_cell_has_students_interval_of_the_mean() -> None:
    # Three runs 0.90, 0.92, 0.94: mean 0.92, s = 0.02, t(0.975, 2) = 4.3027, half 0.04968.
    three = cell(of("auroc"), [Reading(each, 0.0, 1.0) for each in (0.90, 0.92, 0.94)])
    assert three.value == pytest.approx(0.92)
    assert (three.low, three.high) == (
        pytest.approx(0.87032, abs=1e-5),
        pytest.approx(0.96968, abs=1e-5),
    )
    assert three.basis == "seeds"


def test_where_all_resamples_or_all_seeds_agree_there_is_no_interval() -> None:
    # 26 images, all told right: every resample says so too.
    perfect = cell(of("auroc"), [Reading(1.0, 1.0, 1.0)])
    assert (perfect.value, perfect.low, perfect.high) == (1.0, None, None)
    assert perfect.as_row()["interval_from"] == "no_width"
    alike = cell(of("bytes_up"), [Reading(180e6), Reading(180e6)])
    assert (alike.low, alike.high, alike.basis) == (None, None, None)  # counted: exact
    alike = cell(of("wall_seconds"), [Reading(70.0), Reading(70.0)])
    assert (alike.low, alike.high, alike.basis) == (None, None, "no_width")
    narrow = cell(of("auroc"), [Reading(0.9, 0.9, 0.9001)])
    assert (narrow.low, narrow.high, narrow.basis) == (0.9, 0.9001, "measurement")


def test_an_interval_stays_where_values_can_be() -> None:
    two = cell(of("auroc"), [Reading(0.99), Reading(0.90)])
    assert two.high == 1.0 and two.low >= 0.0
    seconds = cell(of("wall_seconds"), [Reading(10.0), Reading(90.0)])
    assert 0 < seconds.low < 50 < seconds.high
    assert (seconds.low, seconds.high) == (pytest.approx(5.0), pytest.approx(500.0))  # a factor ten


def test_the_worst_run_counts_for_what_it_let_through() -> None:
    levels = cell(of("at_rest"), [Reading(3.0), Reading(2.0), Reading(3.0)])
    assert (levels.value, levels.low) == (2.0, None)
    assert cell(of("membership_bound"), [Reading(0.4), Reading(1.0)]).value == 1.0


def test_a_run_that_did_not_measure_does_not_count_as_zero() -> None:
    some = cell(of("wall_seconds"), [None, Reading(70.0), None])
    assert (some.value, some.values) == (70.0, (70.0,))
    assert cell(of("wall_seconds"), [None, None]).value is None
    assert cell(of("wall_seconds"), []).value is None


def test_moving_a_value_of_zero_leaves_it() -> None:
    assert moved(of("bytes_up"), 0.0, np.array([-1.0, 5.0])).tolist() == [0.0, 0.0]


def test_a_missing_sandbox_has_rows_of_null(measured) -> None:
    rows = decision_rows({"minimal": sandbox_cells([measured()]), "eyes_off": sandbox_cells([])})
    missing = [row for row in rows if row["sandbox"] == "eyes_off"]
    assert len(missing) == len(OF_SANDBOXES)
    assert all(row["value"] is None and row["normalized"] is None for row in missing)
    assert all(row["runs"] == 0 for row in missing)


def test_normalized_values_are_0_at_the_worst_and_1_at_the_best(measured) -> None:
    cells = {
        name: sandbox_cells([measured(name)]) for name in ("minimal", "eyes_on", "configurable")
    }
    normalized = {
        (row["sandbox"], row["criterion"]): row["normalized"] for row in decision_rows(cells)
    }
    assert normalized["minimal", "wall_seconds"] == 1.0
    assert normalized["configurable", "wall_seconds"] == 0.0
    assert normalized["eyes_on", "wall_seconds"] == pytest.approx((800 - 115) / 730)
    assert normalized["minimal", "auroc"] == 1.0
    assert normalized["minimal", "bytes_up"] == 1.0  # alike everywhere: nobody is worse
    assert normalized["minimal", "energy_joules"] is None


def test_a_difference_that_nobody_would_notice_is_not_stretched_over_the_scale(measured) -> None:
    def normalized(epsilon: float) -> list[float]:
        runs = [measured("minimal"), measured("configurable")]
        runs[1]["security"]["epsilon"] = epsilon
        cells = {run["sandbox"]: sandbox_cells([run]) for run in runs}
        rows = decision_rows(cells)
        return [each["normalized"] for each in rows if each["criterion"] == "membership_bound"]

    assert normalized(1.0) == [0.0, 1.0]  # no bound is the worst there is
    assert normalized(8.0) == [1.0, 1.0]  # an advantage of at most 0.9993 bounds next to nothing


def test_the_scale_is_that_of_those_that_may_win(measured) -> None:
    cells = {
        name: sandbox_cells([measured(name)])
        for name in ("minimal", "eyes_on", "eyes_off", "configurable")
    }
    rows = decision_rows(cells, ranked=("eyes_on", "eyes_off"))
    of = {(row["sandbox"], row["criterion"]): row["normalized"] for row in rows}
    # 70, 115, 140 and 800 s: those that cannot win lie beyond, one at each end.
    names = ("minimal", "eyes_on", "eyes_off", "configurable")
    assert [of[name, "wall_seconds"] for name in names] == [1.0, 1.0, 0.0, 0.0]
    # The two are alike in transit and in AUROC, up to what nobody would notice.
    assert [of[name, "in_transit"] for name in names] == [0.0, 1.0, 1.0, 1.0]
    assert [of[name, "auroc"] for name in names] == [1.0, 1.0, 1.0, 0.0]
    alone = decision_rows(cells, ranked=("eyes_on",))  # nothing is ranked: a scale of all
    assert alone == decision_rows(cells)


def test_normalized_values_do_not_depend_on_the_unit(measured) -> None:
    plain = [measured(name) for name in ("minimal", "eyes_on", "eyes_off")]
    rows = decision_rows({each["sandbox"]: sandbox_cells([each]) for each in plain})
    for each in plain:
        each["efficiency"]["wall_seconds"] *= 1000
    in_milliseconds = decision_rows({each["sandbox"]: sandbox_cells([each]) for each in plain})
    for one, other in zip(rows, in_milliseconds, strict=True):
        assert one["normalized"] == pytest.approx(other["normalized"])


def test_ten_hospitals_by_criteria_in_every_sandbox(measured) -> None:
    runs = {"minimal": [measured()], "configurable": [measured("configurable")], "eyes_off": []}
    rows = hospital_rows(runs)
    for sandbox in runs:
        names, criteria, values = grid(
            [row for row in rows if row["sandbox"] == sandbox], by="hospital"
        )
        assert len(names) == 10
        assert criteria == [each.name for each in OF_HOSPITALS]
        empty = all(value is None for line in values for value in line)
        assert empty == (sandbox == "eyes_off")
    known = [row["normalized"] for row in rows if row["normalized"] is not None]
    assert min(known) == 0.0 and max(known) == 1.0


def test_hospitals_of_all_sandboxes_share_one_scale(measured) -> None:
    rows = hospital_rows({"minimal": [measured()], "configurable": [measured("configurable")]})
    auroc = {
        (row["sandbox"], row["hospital"]): row["normalized"]
        for row in rows
        if row["criterion"] == "auroc"
    }
    assert min(auroc[("minimal", f"hospital_{n:02}")] for n in range(1, 11)) > max(
        auroc[("configurable", f"hospital_{n:02}")] for n in range(1, 11)
    )


def test_a_hospital_that_dropped_out_of_a_sandbox_has_gaps_there(measured) -> None:
    dropped = measured("eyes_on")
    del dropped["hospitals"]["hospital_07"]
    rows = hospital_rows({"minimal": [measured()], "eyes_on": [dropped]})
    of_7 = [row for row in rows if row["hospital"] == "hospital_07"]
    assert {row["sandbox"] for row in of_7 if row["value"] is None} == {"eyes_on"}
    assert not any(row["value"] == 0 for row in of_7)


def test_features_show_what_is_declared_enforced_and_measured_and_where_runs_differ(
    measured,
) -> None:
    again = measured(seed=1)
    again["controls"]["transport"] |= {"declared": "mtls", "enforced": False}
    rows = feature_rows({"minimal": [measured(), again], "eyes_off": []})
    assert rows == [
        {
            "control": "transport",
            "sandbox": "minimal",
            "declared": ["clear", "mtls"],
            "enforced": False,
            "measured": [{"ladder": "in_transit", "level": 0, "highest": 4}],
            "measured_by": "in_transit",
        },
        {
            "control": "transport",
            "sandbox": "eyes_off",
            "declared": [],
            "enforced": None,
            "measured": [],
            "measured_by": "in_transit",
        },
    ]


def test_of_some_controls_no_attempt_measures_anything(measured) -> None:
    plain = {"declared": "yes", "enforced": True, "measured": None}
    run = measured(controls={"previews": plain, "statistics": plain, "aggregation": plain})
    rows = feature_rows({"minimal": [run]})
    assert [row["measured_by"] for row in rows] == [None, None, None]


def test_a_factor_of_ten_is_the_most_that_chance_may_do() -> None:
    wild = moved(of("wall_seconds"), 50.0, np.array([-1e6, 1e6]))
    assert wild.tolist() == [pytest.approx(5.0), pytest.approx(500.0)]
    assert not math.isinf(wild.max())
