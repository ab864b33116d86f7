from __future__ import annotations

import math

import pytest

from fed_assets.comparison.readings import Reading, membership_bound, reading
from fed_assets.errors import MeasurementError


def test_a_number_and_an_interval_are_read_as_they_stand() -> None:
    assert reading(3, where="x") == Reading(3.0)
    assert reading({"value": 0.9, "low": 0.8, "high": 1.0}, where="x") == Reading(0.9, 0.8, 1.0)
    assert reading({"value": 0.9, "low": None, "high": None}, where="x") == Reading(0.9)


@pytest.mark.parametrize("raw", [None, "suppressed", {"value": None, "suppressed": True}, {}])
def test_what_was_not_measured_or_not_told_is_no_reading(raw: object) -> None:
    assert reading(raw, where="x") is None


@pytest.mark.parametrize("raw", ["much", True, math.nan, math.inf, {"value": "0.9"}, [1.0]])
def test_what_is_no_number_is_refused(raw: object) -> None:
    with pytest.raises(MeasurementError, match=r"no number\. Where: AUROC"):
        reading(raw, where="AUROC")


def test_an_interval_that_is_upside_down_is_refused() -> None:
    with pytest.raises(MeasurementError, match=r"low end is above .* Seen: 0\.9 to 0\.7"):
        reading({"value": 0.8, "low": 0.9, "high": 0.7}, where="AUROC")


def test_the_bound_on_membership_inference_at_its_ends() -> None:
    assert membership_bound(0.0, 0.0) == 0.0
    assert membership_bound(None, 0.0) == 1.0
    assert membership_bound(5000.0, 1e-5) == 1.0  # e^5000 would overflow
    assert membership_bound(0.0, 1e-5) == pytest.approx(1e-5)


@pytest.mark.parametrize("epsilon", [0.1, 1.0, 3.0, 8.0])
def test_the_bound_is_where_both_error_bounds_of_kairouz_meet(epsilon: float) -> None:
    # FP + e^epsilon FN >= 1 - delta, and the other way round: they meet where FP = FN.
    delta = 1e-5
    error = (1 - delta) / (1 + math.exp(epsilon))
    assert membership_bound(epsilon, delta) == pytest.approx(1 - 2 * error)
