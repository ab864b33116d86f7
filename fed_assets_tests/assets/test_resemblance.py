"""The check that compares a hospital's images with those of the last model, in its lane."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from dagster import AssetCheckEvaluation, AssetCheckSeverity, AssetKey
from PIL import Image

from fed_assets.assets.resemblance import RESEMBLES, learned_from
from fed_assets.errors import StorageError
from fed_assets.resources.home import Home
from fed_assets_tests.automation.conftest import Federation, federation, thrown_away
from fed_assets_tests.registered import a_bench


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Federation]:
    with thrown_away(tmp_path) as instance:
        yield federation(tmp_path, instance)


def run_lane(place: Federation) -> tuple[AssetCheckEvaluation, dict[str, Any]]:
    """Runs north's lane; returns its check, and what its validation hands on."""
    result = place.definitions.resolve_job_def("federated_lifecycle").execute_in_process(
        instance=place.instance,
        partition_key="minimal",
        asset_selection=[AssetKey(["north", "images"]), AssetKey(["north", "validated_images"])],
    )
    (check,) = [
        each for each in result.get_asset_check_evaluations() if each.check_name == RESEMBLES
    ]
    path = place.settings.home.artifacts / "north" / "validated_images" / "minimal.json"
    return check, json.loads(path.read_text())


def note_model(place: Federation, digest: str) -> Path:
    """Writes the part of a model's record that says which images a hospital brought into it."""
    path = place.settings.home.artifacts / "global_model" / "minimal.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(
        json.dumps({"rounds": [{"participants": {"north": {"dataset_digest": digest}}}]})
    )
    return path


def darken(folder: Path) -> None:
    for path in folder.rglob("*.png"):
        pixels = np.asarray(Image.open(path)).astype(int) - 20
        Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(path)


@pytest.mark.long
def test_a_shift_is_a_warning_that_holds_nobody_up(place: Federation) -> None:
    check, validated = run_lane(place)
    assert (check.passed, check.description) == (
        True,
        "Nothing was compared: no model has learned from this hospital's images yet.",
    )
    note_model(place, validated["digest"])
    check, _ = run_lane(place)
    assert check.passed
    assert check.description == "The images resemble those that the last model learned from."

    darken(place.pictures / "north")
    check, validated = run_lane(place)

    assert (check.passed, check.severity, check.blocking) == (
        False,
        AssetCheckSeverity.WARN,
        False,
    )
    assert "the means of grey levels of all images differ" in (check.description or "")
    assert validated["admitted"] is True
    shown = check.metadata["intensity"].value
    assert "north" not in str(shown)


@pytest.mark.slow
def test_a_model_whose_record_is_damaged_is_said_and_holds_nobody_up(place: Federation) -> None:
    note_model(place, "d").write_text("{")
    check, validated = run_lane(place)
    assert not check.passed
    assert "The value of the asset global_model/minimal is damaged" in (check.description or "")
    assert validated["admitted"] is True


def test_what_a_hospital_brought_last_into_the_model_counts_where_none_serves(
    tmp_path: Path,
) -> None:
    home = Home(tmp_path)
    assert learned_from(home, "minimal", "north") is None
    path = home.artifacts / "global_model" / "minimal.json"
    path.parent.mkdir(parents=True)
    rounds = [
        {"participants": {"north": {"dataset_digest": "a"}, "east": {"dataset_digest": "b"}}},
        {"participants": {"east": {"dataset_digest": "c"}}},
    ]
    path.write_text(json.dumps({"rounds": rounds}))
    assert [learned_from(home, "minimal", name) for name in ("north", "east", "south")] == [
        ("a", "the last model"),
        ("c", "the last model"),
        None,
    ]
    path.write_text("[")
    with pytest.raises(StorageError):
        learned_from(home, "minimal", "north")


def test_what_a_hospital_brought_into_the_model_that_serves_counts_before_later_ones(
    mlflow_tables: Path, tmp_path: Path
) -> None:
    bench = a_bench(mlflow_tables, tmp_path / "home")
    serving = bench.promoted(1)
    run = bench.registry.version("minimal", serving).run_id
    bench.home.lineage.mkdir(exist_ok=True)
    lineage = bench.home.lineage / f"{run}.json"
    lineage.write_text(json.dumps({"hospitals": {"north": {"data_digests": ["a", "b"]}}}))
    path = bench.home.artifacts / "global_model" / "minimal.json"
    path.parent.mkdir(parents=True)
    later = {name: {"dataset_digest": "later"} for name in ("north", "east")}
    path.write_text(json.dumps({"rounds": [{"participants": later}]}))

    assert learned_from(bench.home, "minimal", "north") == ("b", "version 1, which serves,")
    assert learned_from(bench.home, "minimal", "east") == ("later", "the last model")
    lineage.write_text("{")
    with pytest.raises(StorageError, match="lineage of the model that serves"):
        learned_from(bench.home, "minimal", "north")
