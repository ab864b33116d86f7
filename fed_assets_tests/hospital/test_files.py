from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from fed_assets.errors import KeyRefused, RunConfigError, SealBroken
from fed_assets.hospital.attestation.attested_key import AttestedKey
from fed_assets.hospital.custody import HospitalKey
from fed_assets.hospital.envelope import is_sealed
from fed_assets.hospital.files import Store
from fed_assets.hospital.key_vault import KeyVaultKey
from fed_assets_tests.hospital.keys import a_sealed_store

PLAIN = {"store": "/s", "storage": "plain", "key_custody": "none"}
SEALED = {"store": "/s", "storage": "sealed", "key_custody": "hospital", "key_file": "/k"}
ATTESTED = SEALED | {"key_custody": "attested", "approval": "/a"}


def test_a_store_is_what_the_hospitals_process_was_told() -> None:
    assert Store.of("north", PLAIN) == Store(Path("/s"), "north")
    keys = HospitalKey(Path("/k"), "north")
    assert Store.of("north", SEALED) == Store(Path("/s"), "north", keys)
    vault = PLAIN | {
        "storage": "sealed",
        "key_custody": "azure_key_vault",
        "vault_key": "https://v",
    }
    assert isinstance(Store.of("north", vault).keys, KeyVaultKey)
    attested = Store.of("north", ATTESTED)
    assert isinstance(attested.keys, AttestedKey)
    assert Store.of("north", ATTESTED) == attested != Store.of("south", ATTESTED)


@pytest.mark.parametrize(
    "record",
    [
        {},
        {"store": "/s"},
        PLAIN | {"storage": "sealed"},
        PLAIN | {"key_custody": "hospital"},
        PLAIN | {"store": "relative"},
        SEALED | {"storage": "plain"},
        SEALED | {"key_custody": "none"},
        SEALED | {"key_custody": "attested"},
        SEALED | {"key_file": "relative"},
        ATTESTED | {"storage": "plain"},
        ATTESTED | {"approval": "relative"},
        ATTESTED | {"key_file": ""},
        SEALED | {"key_custody": "azure_key_vault"},
        {name: value for name, value in SEALED.items() if name != "key_file"},
        PLAIN | {"storage": "seald"},
    ],
)
def test_a_store_that_is_kept_in_no_known_way_is_refused(record: dict[str, Any]) -> None:
    with pytest.raises(RunConfigError, match="hospital north"):
        Store.of("north", record)


@pytest.mark.parametrize("sealed", [False, True])
def test_what_is_written_is_read(tmp_path: Path, sealed: bool) -> None:
    store = a_sealed_store(tmp_path) if sealed else Store(tmp_path / "north")
    store.folder.mkdir(exist_ok=True)
    path = store.folder / "current.json"
    for content in (b"first", b"second, and longer"):
        store.write(path, content)
        assert store.read(path) == content
    store.write(path, b"third", once=True)
    assert store.read(path) == b"second, and longer"
    assert is_sealed(path) is sealed
    assert path.stat().st_mode & 0o777 == 0o600
    assert not list(store.folder.glob(".current*"))
    with store.create(store.folder / "streamed") as file:
        file.write(b"piece by ")
        file.write(b"piece")
    with store.open(store.folder / "streamed") as file:
        file.seek(6)
        assert file.read() == b"by piece"


def test_a_plain_file_in_a_sealed_store_is_not_read(tmp_path: Path) -> None:
    store = a_sealed_store(tmp_path)
    (store.folder / "validated.json").write_text(json.dumps({"digest": "forged"}))
    with pytest.raises(SealBroken, match=r"Where: validated\.json"):
        store.read(store.folder / "validated.json")


def test_a_file_under_another_files_name_is_not_read(tmp_path: Path) -> None:
    store = a_sealed_store(tmp_path)
    store.write(store.folder / "current.json", b"{}")
    (store.folder / "current.json").rename(store.folder / "validated.json")
    with pytest.raises(SealBroken, match=r"Where: validated\.json"):
        store.read(store.folder / "validated.json")


def test_another_hospitals_file_is_not_read(tmp_path: Path) -> None:
    north, south = a_sealed_store(tmp_path), a_sealed_store(tmp_path, "south")
    south.write(south.folder / "current.json", b"{}")
    (south.folder / "current.json").rename(north.folder / "current.json")
    with pytest.raises(KeyRefused, match=r"Where: current\.json"):
        north.read(north.folder / "current.json")
