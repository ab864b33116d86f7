"""A whole lifecycle with attested keys, by a copy of the package in which one file then changes."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import yaml

from fed_assets.hospital.attestation.measurement import measure, package_folder
from fed_assets.hospital.envelope import is_sealed
from fed_assets.sandboxes.presets import EYES_ON
from fed_assets_tests.places import Place, make_place

ATTESTED = {
    "storage": "sealed",
    "key_custody": "attested",
    "job_code": "measured",
    "previews": "no",
}


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """Three hospitals with attested keys, on a copy of the package that a test may change."""
    made = make_place(tmp_path / "place", rounds=2)
    controls = {str(name): str(EYES_ON.value(name)) for name in EYES_ON.controls()}
    sandbox = tmp_path / "attested.yaml"
    sandbox.write_text(yaml.safe_dump(controls | ATTESTED))
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(package_folder(), tmp_path / "copy" / "fed_assets", ignore=ignored)
    changes = {"FED_ASSETS_SANDBOX": str(sandbox), "COLUMNS": "200"}
    changes |= {"PYTHONPATH": str(tmp_path / "copy"), "PYTHONSAFEPATH": "1"}
    return Place(made.home, made.environment | changes)


def cli(place: Place, *command: str) -> tuple[int, str]:
    """Returns the exit code of a command of ours, by the copy, and all that it told."""
    return place.tell(*command, cwd=place.home.root.parent)


def rounds_of_all_runs(place: Place) -> int:
    return len(list(place.home.root.glob("federations/*/*/outbox/rounds/[0-9]*")))


@pytest.mark.long
@pytest.mark.timeout(900)
def test_only_approved_code_gets_the_keys_and_trains(place: Place, tmp_path: Path) -> None:
    copy = tmp_path / "copy" / "fed_assets"
    approved = measure(copy)
    code, told = cli(place, "run", "configurable")
    assert code == 1
    assert "has approved no code" in told
    assert "fed-assets approve-code configurable" in told
    assert list(place.home.root.glob("hospitals/*/*/datasets/*/images.npy")) == []

    code, told = cli(place, "approve-code", "configurable")
    assert code == 0, told
    assert told.count(f"{approved} is approved") == 4
    code, told = cli(place, "run", "configurable")
    assert code == 0, told
    report = json.loads((place.home.report("configurable") / "report.json").read_text())
    assert report["controls"]["key_custody"] == "attested (SIMULATED)"
    page = (place.home.report("configurable") / "report.html").read_text()
    assert "attested (SIMULATED)" in page
    images = list(place.home.root.glob("hospitals/*/configurable/datasets/*/images.npy"))
    assert len(images) >= 3
    assert all(is_sealed(path) for path in images)
    assert rounds_of_all_runs(place) == 2

    # One file of the training changes. The coordinator, which draws the first weights, approves it;
    # no hospital does, and none trains.
    training = copy / "hospital" / "training.py"
    training.write_bytes(training.read_bytes() + b"\n# keeps a copy of each image\n")
    changed = measure(copy)
    assert cli(place, "approve-code", "configurable", "coordinator")[0] == 0
    code, told = cli(place, "run", "configurable", "--job", "retrain")
    assert code == 1
    shown = f"(it is {changed[:12]}, approved is {approved[:12]})"
    for name in ("north", "east", "south"):
        assert f"The code is not that which {name} has approved {shown}" in told
    assert rounds_of_all_runs(place) == 2
    for name in ("north", "east", "south"):
        assert cli(place, "approve-code", "configurable", name)[0] == 0
    code, told = cli(place, "run", "configurable", "--job", "retrain")
    assert code == 0, told
    assert rounds_of_all_runs(place) == 4

    # It changes again: not even an image is prepared.
    training.write_bytes(training.read_bytes() + b"\n# and of each patient's id\n")
    code, told = cli(place, "run", "configurable")
    assert code == 1
    assert f"measurement {measure(copy)}, approved {changed}" in told
    assert rounds_of_all_runs(place) == 4
