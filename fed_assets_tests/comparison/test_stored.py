from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from fed_assets.comparison.stored import (
    OTHER_DATA,
    of_one_data,
    require_membership,
    require_one_data,
    whole_attacks,
)
from fed_assets.errors import MeasurementError, StorageError
from fed_assets_tests.stored_records import an_attack

OLD, NEW = "2026-11-27T05:00:00+00:00", "2026-11-27T06:00:00+00:00"
OTHERS = "4a" * 32


def names(records: list[dict]) -> list[str]:
    return [each["sandbox"] for each in records]


def test_the_newest_whole_run_as_it_is_asked_for_says_which_data_it_is(measured) -> None:
    assert of_one_data([]) == ([], [])
    first = measured("minimal", created=OLD)
    other = measured("eyes_on", created=NEW, data__digest=OTHERS)
    assert [names(part) for part in of_one_data([first, other])] == [["eyes_on"], ["minimal"]]
    # One that went without a hospital, or is not as the roster asks, is none to go by.
    for passed_over in ({"degraded": True}, {"otherwise": [OTHER_DATA]}):
        known = [first | {"otherwise": []}, other | {"otherwise": []} | passed_over]
        assert [names(part) for part in of_one_data(known)] == [["minimal"], ["eyes_on"]]
    of_another_seed = measured("eyes_on", seed=1, created=NEW, data__digest=OTHERS)
    assert names(of_one_data([first, of_another_seed])[0]) == ["eyes_on"]


@pytest.mark.parametrize("part", ["name", "synthetic", "digest", "test_digest"])
def test_each_part_of_the_data_has_to_be_alike(measured, tmp_path, part: str) -> None:
    alike = [measured("minimal"), measured("eyes_on")]
    require_one_data(alike, tmp_path)
    alike[1]["data"] = {**alike[1]["data"], part: "another"}
    with pytest.raises(MeasurementError, match=r"eyes_on/seed_0\.json there"):
        require_one_data(alike, tmp_path)


@pytest.mark.parametrize(
    "change, seen",
    [
        ({"pooled": {"value": 1.7, "low": 0, "high": 2}}, "is from -1 to 1"),
        ({"hospitals": {"north": {"value": "0.1"}}}, "value: '0.1', and not a number"),
        ({"hospitals": None}, "not in its form"),
        ({"not_measured": {"south": 3}}, "not in its form"),
        ({"seed": "0"}, "seed: '0', and not a whole number"),
        ({"hospitals": []}, "hospitals: a list, and not an object"),
        ({"resampled": {"of": "5a", "values": {}}}, "resampled.values.membership_advantage"),
        ({"worst_sensitivity": None}, "worst_sensitivity: None, and not an object"),
    ],
)
def test_a_damaged_attack_is_named_by_its_file_and_the_others_are_kept(
    change: dict[str, Any], seen: str
) -> None:
    value = {
        "attack": {"by": "loss"},
        "models": [an_attack(), an_attack(**change), an_attack(seed=2)],
    }
    path = Path("membership_inference.json")
    with pytest.raises(StorageError, match=f"{path}.*{seen}.*To mend it: Materialize"):
        require_membership(value, path)
    kept = whole_attacks(value)
    assert kept == {"attack": {"by": "loss"}, "models": [an_attack(), an_attack(seed=2)]}
    assert require_membership(kept, path) == kept


@pytest.mark.parametrize("value", [{}, {"attack": {}, "models": 3}, {"models": []}])
def test_of_what_has_no_form_no_attack_is_kept(value: dict[str, Any]) -> None:
    assert whole_attacks(value) is None
    with pytest.raises(StorageError, match="not in its form"):
        require_membership(value, Path("membership_inference.json"))
