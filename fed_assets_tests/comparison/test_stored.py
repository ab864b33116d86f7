from __future__ import annotations

import pytest

from fed_assets.comparison.stored import OTHER_DATA, of_one_data, require_one_data
from fed_assets.errors import MeasurementError

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
