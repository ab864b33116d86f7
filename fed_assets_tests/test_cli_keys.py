"""`fed-assets rotate-key` as a hospital's administrator types it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from fed_assets.errors import KeyRefused
from fed_assets.hospital.custody import HospitalKey
from fed_assets.hospital.files import Store
from fed_assets.hospital.outbox_log import read_outbox
from fed_assets.hospital.store import open_store, pseudonym_salt
from fed_assets.privacy.chain import entries_of
from fed_assets.sandboxes.presets import MINIMAL
from fed_assets_tests.conftest import PROJECT
from fed_assets_tests.places import Place, make_place


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """A place whose configurable sandbox is sealed."""
    made = make_place(tmp_path / "place")
    controls = {str(name): str(MINIMAL.value(name)) for name in MINIMAL.controls()}
    changed = controls | {"process": "own", "storage": "sealed", "key_custody": "hospital"}
    file = tmp_path / "sealed.yaml"
    file.write_text(yaml.safe_dump(changed))
    made.environment["FED_ASSETS_SANDBOX"] = str(file)
    return made


def rotate(place: Place, *command: str) -> tuple[int, str, str]:
    """Returns the exit code of `fed-assets rotate-key`, and what it told on stdout and stderr."""
    ran = subprocess.run(
        [sys.executable, "-m", "fed_assets.cli", "rotate-key", *command],
        cwd=PROJECT,
        env=place.environment | {"COLUMNS": "200"},
        capture_output=True,
        text=True,
        timeout=60,
    )
    return ran.returncode, ran.stdout, ran.stderr.strip()


def sealed_store(place: Place) -> Store:
    key = HospitalKey(place.home.key_file("north", "configurable"), "north")
    return open_store(Store(place.home.store("north", "configurable"), "north", key))


@pytest.mark.parametrize("stranger", ["../../outside", "north/../south", "west", ""])
def test_what_is_no_hospital_of_the_roster_gets_no_key(place: Place, stranger: str) -> None:
    outside = place.home.root.parent / "outside" / "configurable"
    outside.mkdir(parents=True)
    code, _, errors = rotate(place, "configurable", stranger)
    assert code == 1
    assert errors.startswith(f"Error: There is no hospital {stranger}".strip())
    assert list(outside.iterdir()) == []


def test_a_rotated_key_opens_what_the_old_one_opens_no_more(place: Place) -> None:
    store = sealed_store(place)
    salt = pseudonym_salt(store)
    key_file = place.home.key_file("north", "configurable")
    old = key_file.read_bytes()
    code, told, errors = rotate(place, "configurable", "north")
    assert (code, errors) == (0, "")
    assert told.startswith("north in configurable: 2 files are under a new key")
    assert str(key_file) in told
    (old_id,), (new_id,) = (json.loads(each)["keys"] for each in (old, key_file.read_bytes()))
    assert old_id != new_id
    assert pseudonym_salt(store) == salt
    asked, left = entries_of(read_outbox(store))
    assert (asked.what, asked.peer) == (left.what, left.peer) == ("key rotation", "fed-assets")
    key_file.write_bytes(old)
    os.utime(key_file)
    with pytest.raises(KeyRefused):
        pseudonym_salt(store)


def test_a_plain_sandbox_has_no_key_to_rotate(place: Place) -> None:
    open_store(Store(place.home.store("north", "minimal"), "north"))
    code, told, errors = rotate(place, "minimal", "north")
    assert (code, told) == (1, "")
    assert errors.startswith("Error: A plain store has no key.")


def test_a_hospital_that_keeps_nothing_ends_in_one_line_and_nothing_is_made(place: Place) -> None:
    sealed_store(place)
    before = sorted(place.home.root.rglob("*"))
    code, told, errors = rotate(place, "eyes_off", "south")
    assert (code, told) == (1, "")
    assert errors.startswith("Error: south keeps nothing in eyes_off.")
    assert len(errors.splitlines()) == 1
    assert sorted(place.home.root.rglob("*")) == before


def test_without_its_key_nothing_is_rotated(place: Place) -> None:
    store = sealed_store(place)
    pseudonym_salt(store)
    key_file = place.home.key_file("north", "configurable")
    key_file.unlink()
    code, told, errors = rotate(place, "configurable", "north")
    assert (code, told) == (1, "")
    assert errors.startswith("Error: The hospital's key file is missing.")
    assert not key_file.exists()
