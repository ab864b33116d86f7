"""Whole runs of a home that containers back, on a real Azurite."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fed_assets.containers.place import read_place, write_place
from fed_assets.privacy.chain import OUTBOX_LOG
from fed_assets.resources.home import COORDINATOR
from fed_assets_tests.azure_storage import Azurite
from fed_assets_tests.places import LIFECYCLE, RETRAIN, Place, make_place
from fed_assets_tests.posture.test_in_containers import ALL

pytestmark = [pytest.mark.long, pytest.mark.timeout(2000)]


def on_blob(folder: Path, azurite: Azurite, **changes: object) -> tuple[Place, list[str]]:
    """Returns a place whose parties have containers of their own, and its hospitals."""
    names = [azurite.party() for _ in range(3)]
    hospitals = [{"id": name, "name": name} for name in names]
    place = make_place(folder, hospitals=hospitals, rounds=3, **changes)
    place.environment["FED_ASSETS_STORAGE"] = "blob"
    for party in (COORDINATOR, *names):
        give(place, azurite, party, azurite.party() if party == COORDINATOR else party)
    return place, names


def run(place: Place, *command: str) -> str:
    process = place.start(*command)
    told, errors = process.communicate(timeout=800)
    assert process.returncode == 0, told + errors
    return told + errors


def give(place: Place, azurite: Azurite, party: str, named: str) -> None:
    write_place(place.home.container(party), azurite.issue(named).own)


def names_in(azurite: Azurite, place: Place, party: str) -> set[str]:
    container = read_place(place.home.container(party)).container
    return azurite.names(container.removeprefix("fed-assets-").replace("-", "_"))


def test_a_lifecycle_lasts_in_containers_alone(azurite: Azurite, tmp_path: Path) -> None:
    place, hospitals = on_blob(tmp_path / "place", azurite)
    told = run(place, *LIFECYCLE)
    kept = names_in(azurite, place, COORDINATOR)
    assert {"values/global_model/minimal.json", "values/evaluation_report/minimal.json"} <= kept
    assert "files/artifacts/evaluation_report/minimal/report.html" in kept
    for part in ("/outbox/rounds/0003/", "/pipes-messages.jsonl", "logs/"):
        assert [name for name in kept if part in name], part
    strange = ("/keys/", "hospitals/", "files/models/")
    assert not [name for name in kept if any(each in name for each in strange)]
    for name in hospitals:
        own = names_in(azurite, place, name)
        assert {f"{name}/minimal/{each}" for each in ("current.json", OUTBOX_LOG)} <= own
        assert all(each.startswith(f"{name}/minimal/") for each in own)
    secrets = [
        read_place(place.home.container(party)).token.partition("sig=")[2][:20]
        for party in (COORDINATOR, *hospitals)
    ]
    assert not [each for each in secrets if each in told]
    holding = [
        path.name
        for path in place.home.root.rglob("*")
        if path.is_file() and any(each.encode() in path.read_bytes() for each in secrets)
    ]
    assert sorted(holding) == ["container.json"] * 4
    # Another machine: the credentials come along, and nothing else.
    other = make_place(tmp_path / "other")
    for name in ("FED_ASSETS_STORAGE", "FED_ASSETS_ROSTER"):
        other.environment[name] = place.environment[name]
    for party in (COORDINATOR, *hospitals):
        write_place(other.home.container(party), read_place(place.home.container(party)))
    assert " files, " in run(other, "fed_assets.cli", "storage", "fetch")
    report = ("fed_assets.cli", "report", "minimal", "--json")
    assert json.loads(run(other, *report)) == json.loads(run(place, *report))
    assert not list(other.home.hospitals.glob("*/minimal"))
    run(other, *RETRAIN)
    assert len(list(other.home.hospitals.glob("*/minimal/datasets/*/images.npy"))) == 4


def test_a_container_that_vanishes_in_mid_run_is_told_and_the_run_goes_on_later(
    azurite: Azurite, tmp_path: Path
) -> None:
    place, hospitals = on_blob(tmp_path / "place", azurite)
    process, folder = place.start_until_round(1, *LIFECYCLE)
    azurite.owned(hospitals[0]).delete_container()
    told, errors = process.communicate(timeout=800)
    assert process.returncode == 1, told + errors
    assert "container is gone" in told + errors
    rounds = {path.name for path in folder.glob("outbox/rounds/*")}
    assert rounds >= {"0001"}
    give(place, azurite, hospitals[0], hospitals[0])
    run(place, *RETRAIN)
    assert f"{hospitals[0]}/minimal/current.json" in names_in(azurite, place, hospitals[0])


def test_eyes_off_keeps_its_word_in_containers_and_its_sealed_stores_last_there(
    azurite: Azurite, places: Path
) -> None:
    place, hospitals = on_blob(places / "eyes_off", azurite)
    for path in (places / "eyes_off", *(places / "eyes_off").iterdir()):
        path.chmod(0o755)
    for party, named in zip((COORDINATOR, *hospitals), (azurite.party(), *hospitals), strict=True):
        issued = azurite.issue(named)
        write_place(place.home.container(party), issued.own)
        for why, file in place.home.dead_containers(party).items():
            write_place(file, issued.dead[why])
    posture = json.loads(run(place, "fed_assets.cli", "posture", "eyes_off", "--json"))
    assert posture["keeps_its_word"], posture["shortfalls"]
    outcomes = {each["probe"]: each["outcome"] for each in posture["probes"]}
    assert {outcomes[name] for name in ALL} == {"passed"}
    assert posture["at_rest"] == 3
    run(place, "fed_assets.cli", "run", "eyes_off")
    for name in hospitals:
        contents = [
            azurite.owned(name).download_blob(each).readall()
            for each in azurite.names(name)
            if "/datasets/" in each
        ]
        assert len(contents) >= 3
        assert not [each for each in contents if b"NUMPY" in each or b"PAR1" in each]
        assert not [each for each in azurite.names(name) if "canary" in each or "intruder" in each]
