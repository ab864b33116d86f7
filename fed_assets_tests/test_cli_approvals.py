"""`fed-assets approve-code` as a data officer types it."""

from __future__ import annotations

import json
import stat
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from fed_assets.hospital.attestation.measurement import measure
from fed_assets.hosts.authority import open_authority
from fed_assets.hosts.identity import take_up
from fed_assets.hosts.kit import make_kit, read_kit
from fed_assets.sandboxes.presets import MINIMAL
from fed_assets_tests.conftest import PROJECT
from fed_assets_tests.places import Place, make_place


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """A place whose configurable sandbox has attested keys."""
    made = make_place(tmp_path / "place")
    controls = {str(name): str(MINIMAL.value(name)) for name in MINIMAL.controls()}
    attested = {"storage": "sealed", "key_custody": "attested", "job_code": "measured"}
    file = tmp_path / "attested.yaml"
    file.write_text(yaml.safe_dump(controls | attested | {"process": "own"}))
    made.environment["FED_ASSETS_SANDBOX"] = str(file)
    return made


def approve(place: Place, *command: str) -> tuple[int, list[str], str]:
    """Returns the exit code of `fed-assets approve-code`, its lines, and what stderr got."""
    ran = subprocess.run(
        [sys.executable, "-m", "fed_assets.cli", "approve-code", *command],
        cwd=PROJECT,
        env=place.environment | {"COLUMNS": "40"},
        capture_output=True,
        text=True,
        timeout=60,
    )
    return ran.returncode, ran.stdout.splitlines(), ran.stderr.strip()


def test_hospitals_approve_the_installed_code_and_it_says_that_it_is_simulated(
    place: Place,
) -> None:
    code, lines, errors = approve(place, "configurable", "north")
    assert (code, errors) == (0, "")
    simulated = "key_custody: attested (SIMULATED)"
    assert lines == [simulated, f"north: {measure()} is approved"]
    record = place.home.approval("north", "configurable")
    assert stat.S_IMODE(record.stat().st_mode) == 0o600
    assert not place.home.approval("south", "configurable").exists()
    code, lines, _ = approve(place, "configurable")
    names = ("north", "east", "south", "coordinator")
    assert code == 0
    assert [line.partition(":")[0] for line in lines[1:]] == list(names)
    assert "approved already" in lines[1]
    assert len(json.loads(record.read_text())["approvals"]) == 2


def test_on_a_hospitals_own_host_that_hospital_approves_whatever_roster_lies_there(
    place: Place, tmp_path: Path
) -> None:
    kit, _ = make_kit(open_authority(tmp_path / "hosts"), "st_mary", "hub.example:1", version="1")
    (tmp_path / "kit").touch(0o600)
    (tmp_path / "kit").write_bytes(kit)
    take_up(read_kit(tmp_path / "kit"), place.home.host)
    code, lines, errors = approve(place, "configurable")
    assert (code, errors) == (0, "")
    assert lines[1:] == [f"st_mary: {measure()} is approved"]
    assert place.home.approval("st_mary", "configurable").exists()
    code, _, errors = approve(place, "configurable", "west")
    assert code == 1
    assert "There is no hospital west" in errors


def test_where_no_code_is_measured_there_is_nothing_to_approve(place: Place) -> None:
    code, lines, errors = approve(place, "minimal")
    assert (code, errors) == (0, "")
    assert lines == ["minimal measures no code: there is nothing to approve."]
    assert not (place.home.root / "hospitals").exists()


@pytest.mark.parametrize("stranger", ["../../outside", "west", ""])
def test_what_is_no_hospital_of_the_roster_approves_nothing(place: Place, stranger: str) -> None:
    code, lines, errors = approve(place, "configurable", "north", stranger)
    assert (code, lines) == (1, [])
    assert errors.startswith(f"Error: There is no hospital {stranger}".strip())
    assert not (place.home.root / "hospitals").exists()
