"""Whole lifecycles of a sandbox whose hospitals mask their updates."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from fed_assets.federation.weights import read_weights
from fed_assets.sandboxes.presets import EYES_ON
from fed_assets_tests.confining import require_root
from fed_assets_tests.places import Place, make_place

pytestmark = [pytest.mark.long, pytest.mark.timeout(900)]

LIFECYCLE = ("fed_assets.cli", "run", "configurable")
RETRAIN = (*LIFECYCLE, "--job", "retrain")
HOSPITALS = ("north", "east", "south", "west")
MAX_NORM = 50.0  # which no update of these reaches


def make_sandbox(folder: Path, **changes: Any) -> Place:
    made = make_place(
        folder, rounds=3, hospitals=[{"id": name, "name": name} for name in HOSPITALS]
    )
    controls = {str(name): str(EYES_ON.value(name)) for name in EYES_ON.controls()}
    (folder / "sandbox.yaml").write_text(yaml.safe_dump(controls | changes))
    own = {"FED_ASSETS_SANDBOX": str(folder / "sandbox.yaml")}
    return replace(made, environment=made.environment | own, sandbox="configurable")


def run(place: Place, *command: str) -> str:
    """Returns what a command told; a lifecycle of four takes minutes where others use the cores."""
    process = place.start(*command)
    told, errors = process.communicate(timeout=420)
    assert process.returncode == 0, told + errors
    return told + errors


def rounds_of(place: Place) -> list[dict[str, Any]]:
    newest = place.home.federations(place.sandbox)[0]
    found = sorted(newest.glob("outbox/rounds/*/round.json"))
    return [json.loads(path.read_text()) for path in found]


def weights_of(place: Place, number: int) -> Any:
    newest = place.home.federations(place.sandbox)[0]
    return read_weights(newest / "outbox" / "rounds" / f"{number:04d}" / "global.safetensors")


@pytest.fixture(scope="module")
def masked(tmp_path_factory: pytest.TempPathFactory) -> Place:
    place = make_sandbox(
        tmp_path_factory.mktemp("masked") / "place",
        update_protection="secure_aggregation",
        max_norm=MAX_NORM,
        max_statistics_norm=MAX_NORM,
    )
    run(place, *LIFECYCLE)
    return place


def test_masked_rounds_give_the_model_that_plain_ones_give(masked: Place, tmp_path: Path) -> None:
    plain = make_sandbox(tmp_path / "place")
    run(plain, *LIFECYCLE)
    for one, other in zip(rounds_of(masked), rounds_of(plain), strict=True):
        assert one["missing"] == other["missing"] == {}
        assert one["participants"].keys() == other["participants"].keys() == set(HOSPITALS)
        for name, report in one["participants"].items():
            assert report["examples"] is None
            assert other["participants"][name]["examples"] > 0
            assert report["bytes_up"] > 0
    # Rounds after the first begin at models that differ by what the first was rounded by.
    first, same = weights_of(masked, 1), weights_of(plain, 1)
    for name, array in same.items():
        assert np.abs(first[name] - array).max() < 1e-5


def test_the_report_says_what_protects_the_updates(masked: Place) -> None:
    report = json.loads((masked.home.report("configurable") / "report.json").read_text())
    assert report["controls"]["update_protection"] == "secure_aggregation"


def test_each_thing_that_leaves_stands_in_the_hospitals_outbox_log(masked: Place) -> None:
    command = ("fed_assets.cli", "outbox", "north", "--sandbox", "configurable", "--json")
    (log,) = json.loads(run(masked, *command))
    in_rounds = [entry["what"] for entry in log["entries"] if entry["round_number"] is not None]
    assert in_rounds == [
        "secagg_keys",
        "keys of secure aggregation",
        "secagg_shares",
        "sealed shares of its secrets",
        "update",
        "masked update",
        "figures of the update",
        "secagg_unmask",
        "shares of secrets of its peers",
    ] * len(rounds_of(masked))


def test_a_run_that_was_killed_goes_on_with_new_keys(masked: Place) -> None:
    folder = masked.kill_after_round(1, *RETRAIN)
    assert not (folder / "outbox" / "rounds" / "0003").exists()
    run(masked, *RETRAIN)
    records = rounds_of(masked)
    assert [record["round_number"] for record in records] == [1, 2, 3]
    assert all(record["missing"] == {} for record in records)


def test_confidential_vm_runs_as_it_is_declared(tmp_path: Path) -> None:
    """Its hospitals are confined, their keys attested, small counts suppressed, updates masked."""
    require_root()
    three = [{"id": name, "name": name} for name in HOSPITALS[:3]]
    place = replace(
        make_place(tmp_path / "place", rounds=2, hospitals=three), sandbox="confidential_vm"
    )
    for path in (tmp_path, place.home.root.parent):
        path.chmod(0o755)
    (place.home.root.parent / "roster.yaml").chmod(0o644)
    run(place, "fed_assets.cli", "approve-code", "confidential_vm")
    run(place, "fed_assets.cli", "run", "confidential_vm")
    records = rounds_of(place)
    assert [record["round_number"] for record in records] == [1, 2]
    for record in records:
        assert record["missing"] == {}
        assert {each["examples"] for each in record["participants"].values()} == {None}
    (log,) = json.loads(run(place, "fed_assets.cli", "outbox", "north", "--json"))
    assert log["sandbox"] == "confidential_vm"
    assert [entry["what"] for entry in log["entries"]].count("masked update") == 2
    assert "update" not in [e["what"] for e in log["entries"] if e["kind"] == "left"]
