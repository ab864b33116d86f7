"""`fed-assets federation` as a person types it."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from fed_assets.federation.revocations import revoked_in
from fed_assets.federation.withdrawals import rejoin, withdraw
from fed_assets_tests.leftovers import seconds_until_clean
from fed_assets_tests.places import Place, make_place

FEDERATION = ("fed_assets.cli", "federation")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    return make_place(tmp_path_factory.mktemp("cli") / "place")


def ask(place: Place, *command: str) -> tuple[int, str, str]:
    """Returns the exit code of a command, and what it told on stdout and stderr."""
    process = place.start(*FEDERATION, *command)
    told, errors = process.communicate(timeout=100)
    return process.returncode, told, errors.strip()


@pytest.mark.parametrize("command", ["up", "down", "status"])
def test_a_wrong_sandbox_ends_in_one_line_with_the_right_ones(place: Place, command: str) -> None:
    code, told, errors = ask(place, command, "minimum")
    assert (code, told) == (1, "")
    assert re.fullmatch(r"Error: There is no sandbox named minimum.*minimal, eyes_on.*", errors)
    assert not place.home.root.exists()


@pytest.mark.parametrize("sandbox", ["eyes_off", "confidential_vm", "configurable"])
def test_a_sandbox_of_confined_processes_is_not_brought_up(place: Place, sandbox: str) -> None:
    code, told, errors = ask(place, "up", sandbox)
    assert (code, told) == (1, "")
    assert errors.startswith(f"Error: The federation of {sandbox} does not stay up between runs")
    assert not place.home.warm(sandbox).exists()


def test_where_none_is_up_status_says_so_and_ends_with_1(place: Place) -> None:
    assert ask(place, "status", "minimal") == (1, "No federation of minimal is up.\n", "")
    assert ask(place, "status", "minimal", "--json") == (1, "null\n", "")
    assert ask(place, "down", "minimal") == (0, "The federation of minimal was not up.\n", "")


def test_a_hospital_is_revoked_and_reinstated_by_name(place: Place) -> None:
    assert ask(place, "revoke", "east", "--sandbox", "eyes_on") == (
        0,
        "east is revoked in eyes_on: it is refused from now on.\n",
        "",
    )
    assert revoked_in(place.home.revocations, "eyes_on").keys() == {"east"}
    assert revoked_in(place.home.revocations, "minimal") == {}
    code, told, _ = ask(place, "reinstate", "east")
    assert (code, told) == (
        0,
        "east is reinstated in all sandboxes: the next run takes it in again.\n",
    )
    assert ask(place, "reinstate", "east")[:2] == (1, "east is not revoked in all sandboxes.\n")
    assert revoked_in(place.home.revocations, "eyes_on") == {}


def test_who_withdrew_is_not_reinstated_and_the_way_back_is_said(place: Place) -> None:
    home = place.home.prepare()
    withdraw(home.withdrawals, "east", by="Ada", because="its board said so")
    assert ask(place, "revoke", "east")[0] == 0
    for where in ((), ("--sandbox", "minimal")):
        code, told, errors = ask(place, "reinstate", "east", *where)
        assert (code, told) == (1, "")
        assert errors.startswith("Error: east is not reinstated. Seen: it withdrew on ")
        assert "(its board said so). To mend it: `fed-assets forget east --undo" in errors
    assert revoked_in(home.revocations, "minimal").keys() == {"east"}
    rejoin(home.withdrawals, "east", by="Eve", because="a new contract")
    assert ask(place, "reinstate", "east")[0] == 0


def test_who_is_not_in_the_roster_is_not_revoked(place: Place) -> None:
    code, told, errors = ask(place, "revoke", "west")
    assert (code, told) == (1, "")
    assert errors.startswith("Error: There is no hospital west")
    assert ask(place, "revoke", "east", "--sandbox", "minimum")[0] == 1


@pytest.mark.long
def test_a_federation_comes_up_once_says_what_it_costs_and_goes_down(place: Place) -> None:
    code, told, errors = ask(place, "up", "minimal")
    assert (code, errors) == (0, "")
    assert "Runs of minimal use it from now on; its log is " in told
    log = told.split("its log is ")[1].replace("\n", "")
    assert Path(log).is_file()

    code, told, _ = ask(place, "status", "minimal", "--json")
    seen = json.loads(told)
    assert code == 0
    assert seen["hospitals"] == ["north", "east", "south"]
    assert (seen["missing"], seen["busy"], seen["jobs"]) == ([], False, 0)

    code, told, _ = ask(place, "up", "minimal")
    assert (code, told) == (0, f"The federation of minimal is up already, since {seen['since']}.\n")
    code, told, _ = ask(place, "status", "minimal")
    assert code == 0
    assert re.search(r"state +│ waits for a run", told)
    assert re.search(r"memory +│ 0\.\d\d GB", told)
    assert json.loads(ask(place, "status", "minimal", "--json")[1])["pid"] == seen["pid"]
    assert ask(place, "status", "eyes_on")[0] == 1

    assert ask(place, "down", "minimal") == (0, "The federation of minimal is down.\n", "")
    assert ask(place, "status", "minimal")[0] == 1
    assert seconds_until_clean(place.home, within_seconds=0)[1] == []
