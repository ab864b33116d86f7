from __future__ import annotations

from typing import Any

import pytest

from fed_assets.registry.best import (
    TEST,
    Held,
    best_at,
    best_so_far,
    by_their_figures,
    serving_versions,
)
from fed_assets.registry.comparison import Difference
from fed_assets.registry.gate import Terms
from fed_assets.registry.promotions import Event
from fed_assets.registry.version import ModelVersion
from fed_assets_tests.registry.versions import HOSPITALS, a_difference, a_version, figures

TERMS = Terms()


def worth(number: int, test: float | None = 0.95, **hospitals: float) -> ModelVersion:
    told = dict.fromkeys(HOSPITALS, 0.9) | hospitals
    common = {"auroc": {"value": None}} if test is None else figures(test)
    evaluation = {"test": common, "hospitals": {name: figures(at) for name, at in told.items()}}
    return a_version(number, evaluation=evaluation)


def promoted(version: int) -> Event:
    return Event("promoted", version, "ann", champion=version)


def waived(version: int, gate: str = "best_so_far") -> Event:
    return Event("waived", version, "ann", "the scanner is another", gates=({"name": gate},))


def rolled_back(version: int, to: int | None) -> Event:
    return Event("rolled_back", to or version, "ann", before=version, champion=to)


@pytest.mark.parametrize(
    ("events", "count"),
    [
        ([], []),
        ([promoted(1), promoted(2)], [1, 2]),
        ([promoted(1), promoted(2), rolled_back(2, 1)], [1]),
        ([promoted(1), Event("retired", 1, "ann", before=1)], [1]),
        ([promoted(1), waived(2), promoted(2), promoted(3)], [2, 3]),
        ([promoted(1), waived(2, "quorum"), promoted(2)], [1, 2]),
        ([promoted(1), waived(2), promoted(2), rolled_back(2, 1)], [1]),
        ([promoted(1), rolled_back(1, None), promoted(1)], [1]),
    ],
)
def test_what_served_counts_until_it_is_rolled_back_or_a_person_lowers_the_bar(
    events: list[Event], count: list[int]
) -> None:
    assert serving_versions(events) == count


def test_each_place_has_a_best_of_its_own_and_of_equals_the_last() -> None:
    served = [worth(1, 0.96), worth(2, 0.95, east=0.99), worth(3, 0.94, east=0.99)]
    best = best_at(worth(4), served, "auroc")
    assert {place: each.version for place, each in best.items()} == {
        TEST: 1,
        "north": 3,
        "east": 3,
        "south": 3,
    }


@pytest.mark.parametrize(
    ("change", "left"),
    [
        ({"classes": ("pneumonia", "normal")}, set()),
        ({"common_test_digest": "another"}, set(HOSPITALS)),
        ({"common_test_digest": None}, set(HOSPITALS)),
        ({"version": 4}, set()),
    ],
)
def test_other_images_and_the_version_itself_are_no_bar(
    change: dict[str, Any], left: set[str]
) -> None:
    other = a_version(**{"number": 1, **change} if "version" not in change else {"number": 4})
    assert set(best_at(worth(4), [other], "auroc")) == left


def test_where_no_figure_was_told_nothing_is_best() -> None:
    assert TEST not in best_at(worth(2), [worth(1, None)], "auroc")


def test_small_losses_that_add_up_close_the_gate_and_a_person_may_open_it() -> None:
    # Each lost no more than 0.01 to the one before it, and the last 0.03 to the first.
    gate = best_so_far({TEST: Held(1, a_difference(-0.03, images=624))}, TERMS, {})
    assert not gate.passed
    assert gate.waivable
    assert (gate.seen, gate.limit) == (-0.03, -0.01)
    assert "at the common test set AUROC is 0.0300 lower than that of version 1" in gate.said
    assert "0.01 is allowed, which it misses by 0.0200" in gate.said


@pytest.mark.parametrize(("value", "passed"), [(-0.05, True), (-0.0501, False)])
def test_a_hospital_is_held_to_its_own_margin(value: float, passed: bool) -> None:
    held = {TEST: Held(1, a_difference(-0.01)), "east": Held(2, a_difference(value))}
    gate = best_so_far(held, TERMS, {})
    assert gate.passed is passed
    assert gate.waivable is not passed
    if not passed:
        assert "at east AUROC is 0.0501 lower than that of version 2" in gate.said
        assert "common test set" not in gate.said


def test_a_place_that_tells_nothing_beside_the_best_closes_the_gate() -> None:
    held = {"north": Held(1, a_difference(0.0)), "south": Held(1, "its process ended")}
    gate = best_so_far(held, TERMS, {})
    assert not gate.passed
    assert "south tells nothing beside version 1: its process ended" in gate.said


def test_where_what_serves_is_the_best_the_other_gates_judge() -> None:
    gate = best_so_far({}, TERMS, {})
    assert gate.passed
    assert "nothing that served was better" in gate.said


def test_a_version_with_data_of_who_withdrew_sets_no_bar_and_the_judgement_says_which_and_why() -> (
    None
):
    south, east = "south withdrew on 2026-01-02 (moved)", "east withdrew on 2026-03-04 (closed)"
    gate = best_so_far({}, TERMS, {4: east, 3: south, 2: south, 1: south})
    assert gate.passed
    assert gate.said == (
        "nothing that served and still may was better anywhere than what serves now; "
        f"versions 1, 2 and 3 set no bar any more: {south}; "
        f"version 4 sets no bar any more: {east}"
    )


def test_who_is_without_that_data_still_sets_the_bar() -> None:
    held = {TEST: Held(2, a_difference(-0.03))}
    gate = best_so_far(held, TERMS, {1: "south withdrew"})
    assert not gate.passed
    assert "lower than that of version 2" in gate.said
    assert gate.said.endswith("version 1 sets no bar any more: south withdrew")


def test_of_what_is_not_tested_again_the_registered_figures_count() -> None:
    found = by_their_figures(worth(2, 0.9), worth(1, 0.95), TEST, "auroc")
    assert isinstance(found, Difference)
    assert found.value == pytest.approx(-0.05)
    assert found.low is None
    assert (
        by_their_figures(worth(2, None), worth(1), TEST, "auroc") == "it tells no figure any more"
    )
