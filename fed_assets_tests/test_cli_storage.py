from __future__ import annotations

from pathlib import Path

import pytest

from fed_assets.containers.place import read_place, write_place
from fed_assets_tests.azure_storage import Azurite
from fed_assets_tests.places import Place, make_place


@pytest.fixture
def place(tmp_path: Path, azurite: Azurite) -> Place:
    # Names of its own: all tests of a session share the account.
    names = [azurite.party() for _ in range(2)]
    hospitals = [{"id": name, "name": name} for name in names]
    made = make_place(tmp_path / "place", hospitals=hospitals)
    made.environment["FED_ASSETS_STORAGE"] = "blob"
    made.home.prepare()
    return made


@pytest.fixture
def key_file(tmp_path: Path, azurite: Azurite) -> Path:
    path = tmp_path / "account.key"
    path.touch(mode=0o600)
    path.write_text(azurite.key + "\n")
    return path


def test_everybody_is_given_a_container_of_his_own(
    place: Place, azurite: Azurite, key_file: Path
) -> None:
    code, told = place.tell("storage", "check")
    assert code == 1
    assert told.count("refused") == 3
    code, told = place.tell("storage", "issue", azurite.url, "--key-file", str(key_file))
    assert code == 0, told
    files = [
        place.home.container("coordinator"),
        *place.home.hospitals.glob("*/keys/container.json"),
    ]
    assert len({read_place(file).url for file in files}) == 3
    assert {file.stat().st_mode & 0o777 for file in place.home.root.rglob("container*.json")} == {
        0o600
    }
    assert "sig=" not in told
    assert azurite.key not in told
    code, told = place.tell("storage", "check")
    assert code == 0, told
    assert told.count("ok") == 3
    write_place(files[1], read_place(files[1].with_name("container.revoked.json")))
    code, told = place.tell("storage", "check")
    assert (code, told.count("refused")) == (1, 1)


def test_a_key_that_others_may_read_is_not_taken(
    place: Place, azurite: Azurite, key_file: Path
) -> None:
    key_file.chmod(0o644)
    code, told = place.tell("storage", "issue", azurite.url, "--key-file", str(key_file))
    assert code == 1
    assert "others may read it" in told
    assert f"`chmod 600 {key_file}`" in told
    require_nothing_given(place, told)


def test_a_key_that_is_not_the_accounts_is_told_of_as_one(
    place: Place, azurite: Azurite, key_file: Path
) -> None:
    key_file.write_text("AAAA")
    code, told = place.tell("storage", "issue", azurite.url, "--key-file", str(key_file))
    assert code == 1
    assert "Azure does not take the account's key" in told
    assert "--key-file" in told
    require_nothing_given(place, told)


def test_a_token_that_was_pasted_with_the_accounts_address_is_not_repeated(
    place: Place, key_file: Path
) -> None:
    url = "https://account.blob.core.windows.net/?sv=1&sig=pasted"
    code, told = place.tell("storage", "issue", url, "--key-file", str(key_file))
    assert code == 1
    assert "Seen: more than an address." in told
    assert "sig=" not in told
    require_nothing_given(place, told)


def require_nothing_given(place: Place, told: str) -> None:
    assert "container.json" not in told
    assert not list(place.home.root.rglob("container.json"))
