from __future__ import annotations

import pytest

from fed_assets.comparison.measurements import cautions, checked, keeps_its_word
from fed_assets.errors import MeasurementError
from fed_assets_tests.comparison.conftest import with_resamples


def kinds(records: list[dict]) -> dict[str, list[str]]:
    return {each["kind"]: each["sandboxes"] for each in cautions(records)}


def test_records_come_back_by_sandbox_and_seed(measured) -> None:
    given = [measured("minimal", 1), measured("eyes_on"), measured("minimal", 0)]
    found = [(each["sandbox"], each["seed"]) for each in checked(given)]
    assert found == [("eyes_on", 0), ("minimal", 0), ("minimal", 1)]


@pytest.mark.parametrize(
    "section, entry, wrong, what",
    [
        (None, "sandbox", None, "names no sandbox"),
        (None, "seed", "0", "has no seed"),
        (None, "quality", [0.9], "The quality of a measurement is no object"),
        ("security", "keeps_its_word", "yes", "keeps_its_word is true, false or null"),
        ("quality", "auroc", "high", "auroc of minimal, seed 0"),
        ("hospitals", "hospital_01", {"auroc": "high"}, "auroc of hospital_01 in minimal, seed 0"),
        ("hospitals", "hospital_01", 3, "What is told of a hospital is no object"),
    ],
)
def test_a_record_that_cannot_be_read_is_refused(measured, section, entry, wrong, what) -> None:
    record = measured()
    (record[section] if section else record)[entry] = wrong
    with pytest.raises(MeasurementError, match=what):
        checked([record])


def test_one_seed_does_not_count_twice(measured) -> None:
    with pytest.raises(MeasurementError, match=r"twice with one seed\. Where: minimal, seed 3"):
        checked([measured(seed=3), measured(seed=3, run_id="again")])


def test_other_data_are_not_compared(measured) -> None:
    with pytest.raises(MeasurementError, match="measured on different data"):
        checked([measured(), measured("eyes_on", data__digest="4a" * 32)])
    with pytest.raises(MeasurementError, match="measured on different data"):
        checked([measured(), measured("eyes_on", data__test_digest="4a" * 32)])
    with pytest.raises(MeasurementError, match="measured on different data"):
        checked([measured(), measured("eyes_on", seed=1, data__synthetic=True)])
    # Another seed may split the same images otherwise.
    assert len(checked([measured(), measured(seed=1, data__digest="4a" * 32)])) == 2


@pytest.mark.parametrize(
    "words, kept",
    [((True, True), True), ((True, None), True), ((None, None), None), ((True, False), False)],
)
def test_one_failed_check_outweighs_all_others(measured, words, kept) -> None:
    runs = [measured(seed=seed, security__keeps_its_word=word) for seed, word in enumerate(words)]
    assert keeps_its_word(runs) is kept


def test_models_that_were_not_learned_alike_are_cautioned_by_name(measured) -> None:
    records = [measured(name) for name in ("minimal", "eyes_on", "configurable", "eyes_off")]
    assert {"learning_differs", "no_references"}.isdisjoint(kinds(records))  # of an older one
    for each in records:
        each["model"] = {"network": {"_target_": "monai.networks.nets.ResNet"}}
        each["trained_with"] = {"recipe": {"local_epochs": 1}}
        each["references"] = {"why_not": None}
    assert {"learning_differs", "no_references"}.isdisjoint(kinds(records))
    for each in records:
        each["trained_with"] = {"recipe": {"local_epochs": 1, "batch_size": 32}}
    records[1]["trained_with"] = {"recipe": {"batch_size": 32, "local_epochs": 1}}
    assert "learning_differs" not in kinds(records)  # in another order, it is the same
    records[2]["trained_with"] = {"recipe": {"local_epochs": 2}}
    records[3]["references"] = {"why_not": "network"}
    found = kinds(records)
    assert found["learning_differs"] == ["configurable"]
    assert found["no_references"] == ["eyes_off"]
    records[2] |= records[1] | {"sandbox": "configurable"}
    records[0]["model"] = {"network": {"_target_": "monai.networks.nets.DenseNet121"}}
    assert kinds(records)["learning_differs"] == ["minimal"]


def test_cautions_name_what_weakens_the_comparison(measured) -> None:
    alike = [measured(sandbox, seed) for sandbox in ("minimal", "eyes_on") for seed in (0, 1)]
    assert kinds(list(map(with_resamples, alike))) == {}
    slower = measured("eyes_off", machine={"cpu": "1 core"}, rounds=10, versions={"torch": "3"})
    assert kinds([*alike, slower]) == {
        "machines_differ": ["eyes_off"],
        "versions_differ": ["eyes_off"],
        "rounds_differ": ["eyes_off"],
        "one_seed": ["eyes_off"],
        "seeds_differ": ["eyes_off"],
        "unpaired": ["eyes_off"],
        "unpaired_figure": ["eyes_off"],
    }
    assert kinds([measured(data__synthetic=True)])["synthetic_data"] == ["minimal"]
    assert cautions([]) == []
