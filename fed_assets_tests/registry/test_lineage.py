from __future__ import annotations

from typing import Any

import pytest

from fed_assets.errors import RunConfigError
from fed_assets.registry.finding import find_hospital, find_model
from fed_assets.registry.lineage import (
    Model,
    data_of,
    hospital_versions,
    models_with,
)
from fed_assets_tests.lineages import THREE, data_digest, lineage, round_of

FIRST = "1a2b3c4d-0000-4000-8000-000000000001"
SECOND = "1a2bffff-0000-4000-8000-000000000002"
THIRD = "77777777-0000-4000-8000-000000000003"


def model(run_id: str, version: int | None = None, **changes: Any) -> Model:
    record = lineage(run_id, **changes)
    return Model(sandbox=record["sandbox"], run_id=run_id, version=version, lineage=record)


def three_models() -> list[Model]:
    """Returns two versions of minimal, the second without south, and a run of eyes_on."""
    newer = {"dataset_digest": data_digest("north", 2)}
    return [
        model(FIRST, 1),
        model(SECOND, 2, hospitals=THREE[:2], rounds=[round_of(1, THREE[:2])]),
        model(THIRD, sandbox="eyes_on", rounds=[round_of(1, ["north"], **newer)]),
    ]


def names(parts: Any) -> list[str]:
    return [part.model.name for part in parts]


def test_a_model_names_the_data_that_made_it() -> None:
    parts = data_of(model(FIRST, 1))
    assert [(part.hospital, part.how) for part in parts] == [
        (name, "trained in rounds 1-2") for name in THREE
    ]
    assert parts[0].data_digests == (data_digest("north"),)


def test_a_hospital_names_the_models_that_contain_its_data() -> None:
    models = three_models()
    assert names(models_with(models, "south")) == ["minimal@1"]
    assert names(models_with(models, "north")) == ["minimal@1", "minimal@2", THIRD[:8]]


def test_one_version_of_the_data_names_only_the_models_with_it() -> None:
    models = three_models()
    assert names(models_with(models, "north", data_digest("north"))) == ["minimal@1", "minimal@2"]
    assert names(models_with(models, "north", data_digest("north", 2))) == [THIRD[:8]]


def test_a_model_that_went_on_from_another_run_contains_its_hospitals_too() -> None:
    rounds = [round_of(1, THREE), round_of(2, THREE[:2]), round_of(3, THREE[:2])]
    resumed = model(FIRST, 1, rounds=rounds, resumed_from={"run": SECOND, "round": 1})
    (part,) = models_with([resumed], "south")
    assert part.how == "trained in round 1"


def test_gaps_between_rounds_are_said() -> None:
    rounds = [round_of(1, THREE), round_of(2, THREE[:2]), round_of(3, THREE)]
    (part,) = models_with([model(FIRST, rounds=rounds)], "south")
    assert part.how == "trained in rounds 1, 3"


def test_a_hospital_that_was_let_in_and_gave_nothing_is_not_in_the_model() -> None:
    rounds = [round_of(1, THREE[:2], missing={"south": "it did not answer"})]
    assert models_with([model(FIRST, rounds=rounds)], "south") == ()


def test_a_hospital_that_may_have_chosen_the_threshold_is_in_the_model() -> None:
    chosen = {"value": 0.4, "hospitals": 3}
    made = model(FIRST, rounds=[round_of(1, THREE[:2])], threshold=chosen)
    (part,) = models_with([made], "south")
    assert "may have helped to choose the threshold" in part.how


def test_without_a_lineage_a_version_counts_for_every_participant_of_its_record() -> None:
    lost = Model(sandbox="minimal", run_id=FIRST, version=4, participants=THREE)
    (part,) = models_with([lost], "south", data_digest("south"))
    assert (part.how, part.data_digests) == ("took part; its rounds are not known", ())
    assert hospital_versions([lost])["south"] == {}
    assert find_hospital([lost], "south") == ("south", None)


def test_versions_of_data_are_listed_with_their_models() -> None:
    found = hospital_versions(three_models())
    assert found["north"] == {
        data_digest("north"): ("minimal@1", "minimal@2"),
        data_digest("north", 2): (THIRD[:8],),
    }
    assert found["south"] == {data_digest("south"): ("minimal@1",)}


@pytest.mark.parametrize(
    ("name", "found"),
    [("minimal@2", SECOND), ("minimal@v2", SECOND), ("7777", THIRD), ("1a2bf", SECOND)],
)
def test_a_model_is_found_by_version_or_run(name: str, found: str) -> None:
    assert find_model(three_models(), name).run_id == found


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("minimal@7", "There is no model minimal@7. Seen: 3 models. To mend it: Choose one of "
         "minimal@1, minimal@2."),
        ("eyes_off@1", "There is no model eyes_off@1"),
        ("1a2b", "2 models are named 1a2b. Seen: 3 models. To mend it: Choose one of minimal@1, "
         "minimal@2."),
        ("777", "There is no model 777"),
        ("beef0000", "Choose one of minimal@1, minimal@2, 77777777"),
    ],
)  # fmt: skip
def test_a_model_that_is_none_is_refused_with_those_that_are(name: str, said: str) -> None:
    with pytest.raises(RunConfigError) as refused:
        find_model(three_models(), name)
    assert said in str(refused.value)


def test_where_there_is_no_model_the_cure_is_to_run_one() -> None:
    for name in ("minimal@1", "eyes_on@1"):
        with pytest.raises(RunConfigError, match=f"fed-assets run {name[:-2]}"):
            find_model([], name)
    with pytest.raises(RunConfigError, match="no run has left a lineage"):
        find_hospital([], "north")


def test_a_version_of_data_is_found_by_the_first_characters_of_its_digest() -> None:
    digest = data_digest("north", 2)
    short = digest[: len(b"north".hex()) + 2]
    assert find_hospital(three_models(), f"north@{short}") == ("north", digest)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("nord", "Choose one of east, north, south"),
        (
            "south@73",
            "named by 4 characters of its digest at the least. Seen: 73. To mend it: Choose",
        ),
        ("south@ffff", "No model contains one version ffff of south's data"),
        ("south@73", "south@736f75746801"),
        ("north@6e6f727468", "2 versions begin so"),
        ("south@", "by 4 characters of its digest at the least. Seen: none"),
    ],
)
def test_data_that_is_in_no_model_is_refused_with_what_is(name: str, said: str) -> None:
    with pytest.raises(RunConfigError) as refused:
        find_hospital(three_models(), name)
    assert said in str(refused.value)
