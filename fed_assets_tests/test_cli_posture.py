"""`fed-assets posture` as a person types it: real attempts on a small home."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
import yaml

from fed_assets.posture.releasing import RELEASES
from fed_assets.posture.submitting import CODE_PROBES
from fed_assets.posture.updates import OF_ONE_UPDATE, OF_THE_SUM, RECOVER
from fed_assets.sandboxes.presets import EYES_ON
from fed_assets_tests.confining import require_root
from fed_assets_tests.leftovers import called, family, seconds_until_clean
from fed_assets_tests.places import Place, make_place

POSTURE = ("fed_assets.cli", "posture")
AUDIT_SECONDS = 200


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    return make_place(tmp_path_factory.mktemp("posture") / "place")


def ask(place: Place, *command: str) -> tuple[int, str, str]:
    process = place.start(*POSTURE, *command)
    told, errors = process.communicate(timeout=AUDIT_SECONDS)
    return process.returncode, told, errors.strip()


def test_before_the_first_audit_the_last_one_is_missed_in_one_line(place: Place) -> None:
    code, told, errors = ask(place, "minimal", "--last")
    assert (code, told) == (1, "")
    assert "was not audited yet" in errors
    assert "Run `fed-assets posture minimal`" in errors
    assert not place.home.root.exists()


@pytest.mark.slow
def test_minimal_measures_low_and_promises_no_more(place: Place) -> None:
    code, told, errors = ask(place, "minimal", "--json")
    assert (code, errors) == (0, "")
    seen = json.loads(told)
    assert [seen[ladder] for ladder in ("at_rest", "in_transit", "in_use")] == [0, 0, 0]
    assert seen["keeps_its_word"]
    outcomes = {probe["probe"]: probe["outcome"] for probe in seen["probes"]}
    assert outcomes["read_hospitals_files"] == outcomes["read_hospitals_memory"] == "failed"
    read = next(each for each in seen["probes"] if each["probe"] == "read_hospitals_files")
    assert read["attempt"]["found"] == 3
    assert read["control"]["found"] == 1
    # As no hospital protects its updates, they are all read, and tell whom they were learned from.
    for name in (*OF_ONE_UPDATE, RECOVER):
        assert outcomes[name] == "failed", name
    told = next(each for each in seen["probes"] if each["probe"] == "tell_members")
    assert told["attempt"]["auc_low"] > 0.75
    first = {probe["probe"]: probe["outcome"] for probe in seen["probes"] if probe["rung"] == 1}
    assert first.pop("name_unlisted_class") == "passed"
    assert first == dict.fromkeys(first, "failed")
    assert "submit_own_code" in first
    assert not list(place.home.root.glob("hospitals/*/*/canary"))
    assert seconds_until_clean(place.home, within_seconds=3)[1] == []

    code, told, _ = ask(place, "minimal", "--last")
    assert code == 0
    assert "at_rest: 0 of 4 (0 promised)" in told
    assert "tell_members: 180 members, auc: 0." in told
    page = Path(told.split("Page: ")[1].replace("\n", ""))
    assert "Reads the memory of hospitals" in page.read_text()


@pytest.mark.long
def test_an_audit_that_is_killed_leaves_no_key(place: Place) -> None:
    audit = place.start(*POSTURE, "minimal")
    until = time.monotonic() + AUDIT_SECONDS
    while not [*place.home.temporary.rglob("*.key")]:
        assert audit.poll() is None, audit.communicate()
        assert time.monotonic() < until
        time.sleep(0.05)
    (dagsters,) = [
        each
        for each in family(psutil.Process(audit.pid))
        if "federation.child" in called(each) and "fed_assets.posture" not in called(each)
    ]
    dagsters.kill()
    audit.communicate(timeout=AUDIT_SECONDS)
    assert audit.returncode != 0
    assert seconds_until_clean(place.home, within_seconds=15)[1] == []
    assert [*place.home.root.rglob("*.key")] == []


@pytest.mark.long
@pytest.mark.timeout(600)
def test_attested_keys_behind_walls_measure_as_far_as_a_simulation_reaches(places: Path) -> None:
    require_root()
    place = make_attested(places / "attested")
    for command in (("approve-code", "configurable"), ("posture", "configurable", "--json")):
        audit = place.start("fed_assets.cli", *command)
        told, errors = audit.communicate(timeout=AUDIT_SECONDS)
        assert audit.returncode == 0, told + errors
    seen = json.loads(told)
    assert [seen[ladder] for ladder in ("at_rest", "in_transit", "in_use")] == [3, 4, 1]
    outcomes = {probe["probe"]: (probe["outcome"], probe["reason"]) for probe in seen["probes"]}
    assert outcomes.pop("release_key_of_no_hardware") == ("failed", "")
    for name in (*OF_ONE_UPDATE, RECOVER):  # for it says `update_protection: none`
        assert outcomes.pop(name) == ("failed", "")
    for name in OF_THE_SUM:
        assert outcomes.pop(name)[1] == ""
    assert outcomes == dict.fromkeys(outcomes, ("passed", ""))
    assert {*RELEASES, *CODE_PROBES} <= {*outcomes}
    assert seen["controls"]["key_custody"] == "attested (SIMULATED)"
    assert seen["probes"][0]["identity"]["user"] != 0
    assert seconds_until_clean(place.home, within_seconds=10)[1] == []


def make_attested(folder: Path) -> Place:
    """Returns a place of two hospitals behind walls, whose keys are attested."""
    place = make_place(folder, hospitals=[{"id": name, "name": name} for name in ("north", "east")])
    controls = {name: EYES_ON.value(name) for name in EYES_ON.controls()}
    controls |= {"storage": "sealed", "key_custody": "attested", "job_code": "measured"}
    controls |= {"process": "confined", "previews": "no"}
    (folder / "sandbox.yaml").write_text(yaml.safe_dump(controls))
    for path in (folder, *folder.iterdir()):
        path.chmod(0o755 if path.is_dir() else 0o644)
    own = {"FED_ASSETS_SANDBOX": str(folder / "sandbox.yaml")}
    return replace(place, environment=place.environment | own, sandbox="configurable")
