from __future__ import annotations

import inspect
import stat
from dataclasses import replace

import pytest
from nvflare.apis.fl_exception import FLCommunicationError
from nvflare.fuel.f3.cellnet.defs import ReturnCode
from nvflare.fuel.flare_api.api_spec import (
    AuthenticationError,
    AuthorizationError,
    InternalError,
    NoConnection,
)
from nvflare.fuel.hci.client.api import AdminAPI
from nvflare.private.fed.authenticator import Authenticator

from fed_assets.errors import (
    FederationDidNotStart,
    FederationError,
    StorageError,
    TimeLimitPassed,
)
from fed_assets.federation.admin import NO_REPLY, Admin
from fed_assets.federation.history import Command, History, read_history
from fed_assets.federation.policies import Kits
from fed_assets.federation.provision import provision

SUBMITTED = Command("submit_job", "2026-01-01T10:00:00+00:00", 0.1, "1234")
POLLED = Command("get_job_meta 1234", "2026-01-01T10:00:01+00:00", 0.2, "RUNNING")


def nowhere(folder):
    return Kits(port=1, server=folder, hospitals={}, admin=folder / "no_kit")


def test_commands_come_back_as_they_were_written(tmp_path):
    history = History(tmp_path / "commands.jsonl")
    for command in (SUBMITTED, POLLED):
        history.note(command)
    assert read_history(tmp_path / "commands.jsonl") == [SUBMITTED, POLLED]
    assert stat.S_IMODE((tmp_path / "commands.jsonl").stat().st_mode) == 0o600


def test_every_command_is_on_disk_as_soon_as_it_is_noted(tmp_path):
    history = History(tmp_path / "commands.jsonl")
    for count, command in enumerate((SUBMITTED, POLLED, SUBMITTED), 1):
        history.note(command)
        assert len(read_history(tmp_path / "commands.jsonl")) == count


@pytest.mark.parametrize("last", ["FINISHED", "R", "RUNNING, and much more to say of it"])
def test_a_command_that_is_polled_is_one_line_with_its_last_answer(tmp_path, last):
    history = History(tmp_path / "commands.jsonl")
    for answer in ("RUNNING", "RUNNING", last):
        history.note(replace(POLLED, answer=answer))
    history.note(SUBMITTED)
    assert read_history(tmp_path / "commands.jsonl") == [
        replace(POLLED, answer=last, times=3),
        SUBMITTED,
    ]


def test_what_a_kill_left_of_a_longer_line_hides_nothing(tmp_path):
    path = tmp_path / "commands.jsonl"
    History(path).note(SUBMITTED)
    with path.open("a") as file:
        file.write('d": 0.2, "answer": "RUNN\n')
    History(path).note(POLLED)
    assert read_history(path) == [SUBMITTED, POLLED]


def test_a_run_that_issued_no_command_has_none(tmp_path):
    assert read_history(tmp_path / "commands.jsonl") == []


def test_a_history_that_cannot_be_written_is_an_error_of_ours(tmp_path):
    with pytest.raises(StorageError, match="NVFlare's commands could not be written"):
        History(tmp_path / "nowhere" / "commands.jsonl").note(SUBMITTED)


def raise_(error, *, over=None):
    try:
        if over is not None:
            raise over
    finally:
        raise error


@pytest.mark.parametrize(
    "error, over",
    [
        (NoConnection("cannot connect to server: ERROR_SERVER_CONNECTION"), None),
        (FLCommunicationError(f"failed to challenge server: {ReturnCode.TIMEOUT}: "), None),
        (
            FLCommunicationError("error:client_registration"),
            FLCommunicationError(f"expect payload to be dict but got {type(None)}"),
        ),
        (InternalError("Communication Error - please try later"), None),
        (InternalError("Can't fetch command list from server."), None),
    ],
)
def test_a_server_that_does_not_answer_refused_nothing(tmp_path, error, over):
    admin = Admin(nowhere(tmp_path), tmp_path / "commands.jsonl")
    with pytest.raises(TimeLimitPassed, match="did not answer `login` in time") as raised:
        admin._issue("login", 5, lambda: raise_(error, over=over), failure=FederationDidNotStart)
    assert str(error).strip() in raised.value.seen
    assert str(error) in admin.commands[0]["answer"]


@pytest.mark.parametrize(
    "error, over",
    [
        (AuthenticationError("Incorrect user name or password"), None),
        (AuthorizationError("user not authorized for the action 'submit_job'"), None),
        (FLCommunicationError(f"failed to challenge server: {ReturnCode.UNAUTHENTICATED}: "), None),
        (
            FLCommunicationError("error:client_registration"),
            FLCommunicationError("error:client_registration the client is not allowed"),
        ),
        (InternalError("server internal error: no reply was to be given"), None),
    ],
)
def test_a_server_that_refuses_did_answer(tmp_path, error, over):
    admin = Admin(nowhere(tmp_path), tmp_path / "commands.jsonl")
    with pytest.raises(FederationDidNotStart, match="server refused `login`"):
        admin._issue("login", 5, lambda: raise_(error, over=over), failure=FederationDidNotStart)


def test_what_tells_that_no_reply_came_stands_in_nvflare_as_it_is_installed():
    source = "".join(map(inspect.getsource, (Authenticator, AdminAPI)))
    for said in NO_REPLY:
        told = said.partition(": timeout")[0].partition("<class")[0]
        assert source.count(told) == 1, said


def test_a_login_where_nothing_listens_is_not_called_refused(tmp_path, write_plan):
    plan = write_plan(tmp_path / "plan")
    admin = Admin(provision(plan), tmp_path / "commands.jsonl")
    with pytest.raises(TimeLimitPassed, match="did not answer `login` in time") as raised:
        admin.connect(1)
    assert "NoConnection: cannot connect to server" in raised.value.seen


def test_a_refused_login_stands_in_the_history_of_the_run_that_it_was_issued_for(tmp_path):
    admin = Admin(nowhere(tmp_path), tmp_path / "one.jsonl")
    with pytest.raises(FederationError, match="login"):
        admin.connect(1)
    admin.history = tmp_path / "two.jsonl"
    assert admin.history == tmp_path / "two.jsonl"
    assert admin.commands == []
    with pytest.raises(FederationError, match="login"):
        admin.connect(1)
    assert [command["command"] for command in admin.commands] == ["login"]
    (first,) = read_history(tmp_path / "one.jsonl")
    assert (first.command, first.times) == ("login", 1)
    assert first.answer != "OK"
