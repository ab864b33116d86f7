"""Reference models on small hospitals: what they learn from, and from what they never do."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from dagster import DagsterInstance, ExecuteInProcessResult

from fed_assets.definitions import build_definitions
from fed_assets.federation.roster import read_roster
from fed_assets.resources.home import Home
from fed_assets.resources.settings import Settings

Run = Callable[..., ExecuteInProcessResult]


@pytest.fixture
def run(tmp_path: Path, entries: dict[str, Any]) -> Run:
    """Returns a function that trains the references in a scratch home."""

    def execute(**config: Any) -> ExecuteInProcessResult:
        roster = tmp_path / "roster.yaml"
        roster.write_text(yaml.safe_dump(entries))
        settings = Settings(home=Home(tmp_path / "home").prepare(), roster=roster)
        definitions = build_definitions(settings, read_roster(roster))
        with DagsterInstance.ephemeral(tempdir=str(tmp_path / "instance")) as instance:
            return definitions.resolve_job_def("references").execute_in_process(
                instance=instance,
                run_config={"ops": {"reference_models": {"config": config}}},
                raise_on_error=False,
            )

    return execute


def test_the_pooled_model_learns_from_all_and_each_hospital_from_its_own(
    run: Run, tmp_path: Path
) -> None:
    value = run(seeds=[0, 1]).output_for_node("reference_models")

    assert value["rounds"] == 2
    assert value["left_out"] == {}
    assert value["data"]["synthetic"]
    assert value["learning"]["network"]["_target_"] and value["learning"]["threshold"] == 0.5
    assert len(value["test_digest"]) == 64 and len(value["digests"]) == 3
    for seed in ("0", "1"):
        pooled, alone = value["seeds"][seed]["pooled"], value["seeds"][seed]["alone"]
        assert sorted(alone) == sorted(pooled["own"]) == ["east", "north", "south"]
        assert pooled["images"] == sum(each["images"] for each in alone.values())
        assert 0 <= pooled["test"]["auroc"]["low"] <= pooled["test"]["auroc"]["high"] <= 1
        assert pooled["test"]["images"] == 40
        assert all(list(each["own"]) == [name] for name, each in alone.items())
        assert all(each["own"][name]["auroc"]["low"] is not None for name, each in alone.items())
        digests = {pooled["digest"], *(each["digest"] for each in alone.values())}
        assert len(digests) == 4
    first, other = (value["seeds"][seed]["pooled"]["digest"] for seed in ("0", "1"))
    assert first != other
    again = run(seeds=[0]).output_for_node("reference_models")
    assert again["seeds"]["0"]["pooled"]["digest"] == first
    weights = tmp_path / "home" / "artifacts" / "reference_models" / "seed_0"
    assert {each.name for each in weights.iterdir()} == {
        *(f"{name}.safetensors" for name in ("initial", "pooled", "north", "east", "south"))
    }


def test_images_that_are_a_hospitals_own_are_never_pooled(
    run: Run, entries: dict[str, Any], tmp_path: Path
) -> None:
    private = {"kind": "phantom", "images": 80, "test_images": 10, "size": 28, "seed": 7}
    entries["hospitals"][1]["source"] = private

    value = run().output_for_node("reference_models")

    assert list(value["left_out"]) == ["east"]
    assert "not open" in value["left_out"]["east"]
    assert sorted(value["seeds"]["0"]["alone"]) == ["north", "south"]
    assert not (tmp_path / "home" / "hospitals" / "east").exists()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"common_test": False}, "the roster wants none"),
        (
            {"expectations": {"min_images_per_class": 10_000}},
            "does not let the open images through",
        ),
    ],
)
def test_without_open_images_there_is_no_reference_and_the_reason_is_said(
    run: Run, entries: dict[str, Any], change: dict[str, Any], said: str
) -> None:
    entries["data"] |= change
    result = run()
    assert not result.success
    (failure,) = [event for event in result.all_events if event.is_step_failure]
    data = failure.step_failure_data
    assert data.user_failure_data is not None
    with pytest.raises(AssertionError, match=said):
        raise AssertionError(data.user_failure_data.description)
