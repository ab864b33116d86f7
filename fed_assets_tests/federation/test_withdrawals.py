from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from fed_assets.errors import HospitalWithdrawn, RunConfigError, StorageError
from fed_assets.federation.withdrawals import (
    copy_of,
    read_record,
    read_withdrawals,
    rejoin,
    require_none_withdrawn,
    withdraw,
    withdrawn,
)


@pytest.fixture
def listed(tmp_path: Path) -> Path:
    return tmp_path / "withdrawn" / "withdrawn.json"


def test_nobody_withdrew_where_there_is_no_list(listed: Path) -> None:
    assert withdrawn(listed) == {}
    require_none_withdrawn(listed, ["north"], what="Nothing is trained")


def test_who_withdrew_is_listed_with_the_reason_and_the_way_back(listed: Path) -> None:
    withdraw(listed, "north", by="Ada", because="The board decided so.")
    said = withdrawn(listed)["north"]
    assert "(The board decided so)" in said
    assert said.endswith(
        "`fed-assets forget north --undo --by NAME --because TEXT` lets it join again"
    )
    assert read_withdrawals(listed)["north"].by == "Ada"
    assert listed.stat().st_mode & 0o777 == 0o600


def test_the_first_entry_holds(listed: Path) -> None:
    first = withdraw(listed, "north", by="Ada", because="once")
    assert withdraw(listed, "north", by="Bob", because="twice") == first
    assert read_withdrawals(listed) == {"north": first}


def test_who_joins_again_is_listed_no_more(listed: Path) -> None:
    withdraw(listed, "north", by="Ada", because="its board said so")
    withdraw(listed, "east", by="Ada", because="its board said so")
    assert rejoin(listed, "north", by="Eve", because="it wants to")
    assert not rejoin(listed, "north", by="Eve", because="it wants to")
    assert withdrawn(listed).keys() == {"east"}


def test_nothing_of_it_is_ever_taken_away(listed: Path) -> None:
    for because in ("the board decided so", "once more"):
        withdraw(listed, "north", by="Ada", because=because)
        assert rejoin(listed, "north", by="Eve", because="a new contract")
    told = [(each.event, each.by, each.because) for each in read_record(listed)]
    assert told == [
        ("withdrew", "Ada", "the board decided so"),
        ("joined again", "Eve", "a new contract"),
        ("withdrew", "Ada", "once more"),
        ("joined again", "Eve", "a new contract"),
    ]
    assert all(each.at.startswith("20") for each in read_record(listed))


@pytest.mark.parametrize(("by", "because"), [("", "so"), (" ", "so"), ("Ada", ""), ("Ada", " ")])
def test_nothing_is_entered_that_nobody_stands_for(listed: Path, by: str, because: str) -> None:
    for enter in (withdraw, rejoin):
        with pytest.raises(RunConfigError, match="--by NAME --because TEXT"):
            enter(listed, "north", by=by, because=because)
    assert not listed.exists()


def test_what_contains_data_of_who_withdrew_is_refused(listed: Path) -> None:
    withdraw(listed, "north", by="Ada", because="its board said so")
    require_none_withdrawn(listed, ["east", "south"], what="No model is made")
    with pytest.raises(HospitalWithdrawn) as refused:
        require_none_withdrawn(listed, ["east", "north", "north"], what="No model is made")
    assert str(refused.value).startswith(
        "No model is made with data of a hospital that withdrew. Where: north. Seen: it withdrew on"
    )


@pytest.mark.parametrize(
    "content",
    [
        *("", "{", "{}", '["north"]', '[{"hospital": "north"}]', '[{"hospital": 1}]'),
        '[{"hospital": "north", "event": "left", "at": "", "by": "Ada", "because": "so"}]',
    ],
)
def test_a_list_that_is_none_lets_nobody_in(listed: Path, content: str) -> None:
    listed.parent.mkdir()
    listed.write_text(content)
    listed.chmod(0o600)
    with pytest.raises(StorageError, match="so that nobody may take part"):
        require_none_withdrawn(listed, ["east"], what="Nothing is trained")
    with pytest.raises(StorageError):
        withdraw(listed, "east", by="Ada", because="its board said so")
    assert listed.read_text() == content


def test_a_list_that_is_gone_or_lacks_what_its_copy_tells_lets_nobody_in(listed: Path) -> None:
    withdraw(listed, "north", by="Ada", because="its board said so")
    withdraw(listed, "east", by="Ada", because="its board said so")
    whole = listed.read_text()
    for content, seen in ((None, "it is gone, and its copy is not"), ("[]", "other than its copy")):
        shutil.rmtree(listed.parent)
        if content is not None:
            listed.parent.mkdir()
            listed.write_text(content)
            listed.chmod(0o600)
        with pytest.raises(StorageError, match=seen) as refusal:
            require_none_withdrawn(listed, ["south"], what="Nothing is trained")
        with pytest.raises(StorageError, match=seen):
            withdraw(listed, "south", by="Ada", because="its board said so")
        mend = str(refusal.value).split("`")[1]
        subprocess.run(mend, shell=True, check=True)
        assert listed.read_text() == whole
        assert withdrawn(listed).keys() == {"north", "east"}


def test_a_copy_that_is_damaged_is_made_anew_of_the_list(listed: Path) -> None:
    withdraw(listed, "north", by="Ada", because="its board said so")
    copy_of(listed).write_text("{")
    with pytest.raises(StorageError, match="The copy of the list of hospitals that") as refusal:
        withdrawn(listed)
    subprocess.run(str(refusal.value).split("`")[1], shell=True, check=True)
    assert withdrawn(listed).keys() == {"north"}


def test_a_copy_that_lacks_what_was_entered_last_does_no_harm(listed: Path) -> None:
    withdraw(listed, "north", by="Ada", because="its board said so")
    before = copy_of(listed).read_bytes()
    rejoin(listed, "north", by="Eve", because="a new contract")
    copy_of(listed).write_bytes(before)  # as where the machine went down in between
    assert withdrawn(listed) == {}


def test_a_list_that_others_may_change_lets_nobody_in(listed: Path) -> None:
    withdraw(listed, "north", by="Ada", because="its board said so")
    listed.chmod(0o660)
    with pytest.raises(StorageError, match="others than this user"):
        withdrawn(listed)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root writes what another user owns")
def test_root_leaves_the_list_to_the_user_who_reads_it(listed: Path) -> None:
    listed.parent.mkdir()
    os.chown(listed.parent, 12345, 12345)
    withdraw(listed, "north", by="Ada", because="its board said so")
    assert (listed.stat().st_uid, listed.stat().st_gid) == (12345, 12345)
    os.chown(listed, 12346, 12346)
    withdraw(listed, "east", by="Ada", because="its board said so")
    assert (listed.stat().st_uid, listed.stat().st_gid) == (12346, 12346)
    assert withdrawn(listed).keys() == {"north", "east"}
