from __future__ import annotations

import base64
from pathlib import Path

import pytest

from fed_assets.hospital.canary import (
    CANARY_BYTES,
    FOLDER,
    plant_canary,
    remove_canary,
    search_store,
    tamper,
)
from fed_assets.hospital.files import Store
from fed_assets.hospital.store import kept_files, open_store, rotate_key
from fed_assets_tests.hospital.keys import a_sealed_store

ALL = {"flipped": True, "swapped": True, "foreign": True}


@pytest.fixture
def plain(tmp_path: Path) -> Store:
    return open_store(Store(tmp_path / "north", "north"))


@pytest.fixture
def sealed(tmp_path: Path) -> Store:
    return a_sealed_store(tmp_path)


def test_in_a_plain_store_it_is_found_and_every_change_is_taken(plain: Store) -> None:
    answer = plant_canary(None, plain)
    assert len(base64.b64decode(answer["canary"])) == CANARY_BYTES
    planted = plain.folder / FOLDER / "object"
    assert planted.read_bytes() == base64.b64decode(answer["canary"])
    assert search_store(None, plain) == {"found": 1, "files": 2, "control": 1}
    assert tamper(None, plain) == {**ALL, "control": ALL}


def test_in_a_sealed_store_it_is_not_found_and_no_change_is_taken(sealed: Store) -> None:
    plant_canary(None, sealed)
    assert search_store(None, sealed) == {"found": 0, "files": 2, "control": 1}
    assert tamper(None, sealed) == {**dict.fromkeys(ALL, False), "control": ALL}


def test_what_was_tried_is_undone(sealed: Store) -> None:
    canary = base64.b64decode(plant_canary(None, sealed)["canary"])
    search_store(None, sealed)
    tamper(None, sealed)
    assert sealed.read(sealed.folder / FOLDER / "object") == canary
    assert {path.name for path in (sealed.folder / FOLDER).iterdir()} == {"object", "other"}
    remove_canary(None, sealed)
    remove_canary(None, sealed)
    assert not (sealed.folder / FOLDER).exists()


def test_each_one_is_new(plain: Store) -> None:
    assert plant_canary(None, plain)["canary"] != plant_canary(None, plain)["canary"]


def test_it_is_none_of_what_the_hospital_keeps(sealed: Store) -> None:
    plant_canary(None, sealed)
    assert kept_files(sealed) == []
    assert rotate_key(sealed) == 0
