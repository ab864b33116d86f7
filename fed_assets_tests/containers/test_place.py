from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from azure.core.credentials import AzureSasCredential
from azure.identity import DefaultAzureCredential, ManagedIdentityCredential

from fed_assets.containers.place import PLACE_FILE, Place, read_place, write_place
from fed_assets.errors import ContainerRefused

URL = "https://account.blob.core.windows.net/north"
TOKEN = "sv=2024&sig=secret"


def written(folder: Path, record: Any, mode: int = 0o600) -> Path:
    path = folder / PLACE_FILE
    path.write_text(record if isinstance(record, str) else json.dumps(record))
    path.chmod(mode)
    return path


def test_a_place_is_read_as_it_was_written(tmp_path: Path) -> None:
    for place in (Place(URL, token=TOKEN), Place(URL, identity=""), Place(URL, identity="one")):
        path = tmp_path / "keys" / PLACE_FILE
        write_place(path, place)
        assert path.stat().st_mode & 0o777 == 0o600
        assert read_place(path) == place
    assert [each.name for each in path.parent.iterdir()] == [PLACE_FILE]


def test_it_knows_its_account_and_what_opens_it(monkeypatch: pytest.MonkeyPatch) -> None:
    place = Place(URL, token=TOKEN)
    assert (place.account_url, place.container) == (
        "https://account.blob.core.windows.net",
        "north",
    )
    assert isinstance(place.credential(), AzureSasCredential)
    assert isinstance(Place(URL, identity="one").credential(), ManagedIdentityCredential)
    assert isinstance(Place(URL, identity="").credential(), DefaultAzureCredential)
    assert "secret" not in repr(place)


@pytest.mark.parametrize(
    ("record", "seen"),
    [
        ("{", "no JSON"),
        ([], "not an object"),
        ({"url": URL, "token": TOKEN, "key": "x"}, "not an object"),
        ({"url": URL}, "neither a token"),
        ({"url": URL, "token": "sv=2024"}, "neither a token"),
        ({"url": URL, "token": TOKEN, "identity": ""}, "neither a token"),
        ({"url": "http://account.blob.core.windows.net/north", "token": TOKEN}, "not https"),
        ({"url": f"{URL}?{TOKEN}", "token": TOKEN}, "more than an address"),
        ({"url": "https://account.blob.core.windows.net", "token": TOKEN}, "no container"),
        ({"url": "https://[", "token": TOKEN}, "no address"),
        ({"url": 3, "token": TOKEN}, "no text"),
    ],
)
def test_what_is_no_place_is_refused_without_its_token(
    tmp_path: Path, record: Any, seen: str
) -> None:
    with pytest.raises(ContainerRefused) as told:
        read_place(written(tmp_path, record))
    assert seen in told.value.seen
    assert "secret" not in str(told.value)


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620])
def test_a_file_that_others_may_touch_is_refused(tmp_path: Path, mode: int) -> None:
    with pytest.raises(ContainerRefused, match="others may read it"):
        read_place(written(tmp_path, {"url": URL, "token": TOKEN}, mode))


def test_a_missing_file_a_link_and_a_folder_are_refused(tmp_path: Path) -> None:
    own = written(tmp_path, {"url": URL, "token": TOKEN})
    link = tmp_path / "link"
    link.symlink_to(own)
    for path in (tmp_path / "none", link, tmp_path):
        with pytest.raises(ContainerRefused):
            read_place(path)
    assert read_place(own).token == TOKEN
