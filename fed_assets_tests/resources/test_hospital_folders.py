"""Who is kept out is known to a confined run too, whenever it was said."""

from __future__ import annotations

from pathlib import Path

from fed_assets.federation.revocations import revoke, revoked_in
from fed_assets.federation.withdrawals import withdraw, withdrawn
from fed_assets.resources.home import Home
from fed_assets.resources.hospital_folders import give_folders, make_folders
from fed_assets.resources.users import Users
from fed_assets_tests.confining import require_root

USERS = Users(sites=1_950_000_000, hub=1_950_000_001, hospitals={"north": 1_950_000_002})


def test_the_lists_of_who_is_kept_out_are_there_before_anybody_is(tmp_path: Path) -> None:
    home = Home(tmp_path / "home").prepare()
    make_folders(home, "eyes_off", ["north"])
    assert revoked_in(home.revocations, "eyes_off") == {}
    assert home.revocations.stat().st_mode & 0o777 == 0o600
    assert home.withdrawals.parent.is_dir()
    revoke(home.revocations, "north")
    make_folders(home, "eyes_off", ["north"])
    assert revoked_in(home.revocations, "eyes_off").keys() == {"north"}


def test_what_root_enters_while_a_run_is_confined_is_the_hubs_to_read(tmp_path: Path) -> None:
    require_root()
    home = Home(tmp_path / "home").prepare()
    make_folders(home, "eyes_off", ["north"])
    give_folders(home, "eyes_off", USERS, ["north"])
    withdraw(home.withdrawals, "north", by="Ada", because="its board said so")
    revoke(home.revocations, "north")
    for listed in (home.withdrawals, home.revocations):
        assert listed.stat().st_uid == USERS.hub
        assert listed.stat().st_mode & 0o777 == 0o600
    assert withdrawn(home.withdrawals).keys() == {"north"}
    assert revoked_in(home.revocations, "eyes_off").keys() == {"north"}
