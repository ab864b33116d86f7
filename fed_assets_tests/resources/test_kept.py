from __future__ import annotations

from pathlib import Path

import pytest

from fed_assets.hospital.files import Store
from fed_assets.resources.home import COORDINATOR, Home, StoredOn
from fed_assets.resources.kept import kept, kept_by_all
from fed_assets.sandboxes.controls import KeyCustody
from fed_assets.sandboxes.presets import CONFIDENTIAL_VM, EYES_ON
from fed_assets.sandboxes.sandbox import Sandbox

VAULT = "https://vault.azure.net/keys/{hospital}"


def sandbox(custody: str) -> Sandbox:
    if custody == "none":
        return EYES_ON
    found = CONFIDENTIAL_VM.model_copy(update={"key_custody": KeyCustody(custody)})
    return found.model_copy(update={"key_vault": VAULT}) if custody == "azure_key_vault" else found


@pytest.mark.parametrize(
    ("custody", "fields"),
    [
        ("none", {}),
        ("hospital", {"key_files": "keys/{sandbox}.json"}),
        (
            "attested",
            {"key_files": "keys/{sandbox}.json", "approvals": "keys/{sandbox}.approval.json"},
        ),
        ("azure_key_vault", {"vault_keys": "https://vault.azure.net/keys/north-1"}),
    ],
)
def test_each_process_of_a_hospital_is_told_where_its_key_is(
    tmp_path: Path, custody: str, fields: dict[str, str]
) -> None:
    found, home = sandbox(custody), Home(tmp_path)
    place = kept(home, found, "north_1")
    assert Store.of("north_1", place).folder == tmp_path / "hospitals" / "north_1" / found.name
    by_all = kept_by_all(home, found, ["north_1"])
    assert by_all["key_custody"] == custody
    for name in ("key_files", "approvals", "vault_keys"):
        told = by_all[name]
        if name not in fields:
            assert told == {}
        elif name == "vault_keys":
            assert told == {"north_1": fields[name]}
        else:
            path = tmp_path / "hospitals" / "north_1" / fields[name].format(sandbox=found.name)
            assert told == {"north_1": str(path)}


@pytest.mark.parametrize("custody", ["none", "hospital", "attested", "azure_key_vault"])
def test_each_process_of_a_hospital_is_told_of_its_own_container(
    tmp_path: Path, custody: str
) -> None:
    found = sandbox(custody)
    assert "container" not in kept(Home(tmp_path), found, "north_1")
    assert kept_by_all(Home(tmp_path), found, ["north_1"])["containers"] == {}
    home = Home(tmp_path, StoredOn.BLOB)
    own = tmp_path / "hospitals" / "north_1" / "keys" / "container.json"
    assert Store.of("north_1", kept(home, found, "north_1")).container == own
    assert kept_by_all(home, found, ["north_1"])["containers"] == {"north_1": str(own)}
    assert home.container(COORDINATOR) == tmp_path / "keys" / "container.json"
