"""The numbers of a home's users: drawn once, nobody else's, and root's to say."""

from __future__ import annotations

import json
import os
import pwd
from collections.abc import Callable
from pathlib import Path

import pytest

from fed_assets.errors import StorageError
from fed_assets.resources.users import RANGE, USERS_FILE, users_of
from fed_assets_tests.confining import ORDINARY_USER, require_root


@pytest.fixture(autouse=True)
def by_root() -> None:
    """Skips where the test is not root's."""
    require_root()


def test_a_user_is_drawn_once_for_each_and_stays(tmp_path: Path) -> None:
    first = users_of(tmp_path, ["north", "east"])
    assert users_of(tmp_path, ["east", "north"]) == first
    later = users_of(tmp_path, ["east", "south"])
    assert later.hospitals["east"] == first.hospitals["east"]
    assert later.hospitals["north"] == first.hospitals["north"]
    numbers = [later.sites, later.hub, *later.hospitals.values()]
    assert len(set(numbers)) == 5
    assert all(number in RANGE for number in numbers)


def test_no_number_is_an_accounts(tmp_path: Path) -> None:
    users = users_of(tmp_path, [f"hospital_{number:02d}" for number in range(40)])
    taken = {account.pw_uid for account in pwd.getpwall()}
    assert not taken & {users.hub, *users.hospitals.values()}
    # Nor any that systems give to containers and to subordinate users.
    assert min(users.hospitals.values()) > 1_879_048_191


def test_the_list_is_of_root_alone(tmp_path: Path) -> None:
    users_of(tmp_path, ["north"])
    assert (tmp_path / USERS_FILE).stat().st_mode & 0o077 == 0


CHANGES: dict[str, Callable[[Path], None]] = {
    "another user's": lambda path: os.chown(path, ORDINARY_USER, 0),
    "writable by others": lambda path: path.chmod(0o622),
    "no JSON": lambda path: path.write_text("{"),
    "root among the hospitals": lambda path: path.write_text(
        json.dumps({**json.loads(path.read_text()), "hospitals": {"north": 0}})
    ),
    "one user for two": lambda path: path.write_text(
        json.dumps(json.loads(path.read_text()) | {"hub": json.loads(path.read_text())["sites"]})
    ),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_list_that_root_did_not_write_is_refused(tmp_path: Path, change: str) -> None:
    users_of(tmp_path, ["north"])  # the control: it is taken as it is
    users_of(tmp_path, ["north"])
    CHANGES[change](tmp_path / USERS_FILE)
    with pytest.raises(StorageError, match="not what root wrote there") as caught:
        users_of(tmp_path, ["north"])
    assert "Put it back from a backup" in str(caught.value)
