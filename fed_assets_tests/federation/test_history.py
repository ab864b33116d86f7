from __future__ import annotations

import stat
from dataclasses import replace

import pytest

from fed_assets.errors import FederationError, StorageError
from fed_assets.federation.admin import Admin
from fed_assets.federation.history import Command, History, read_history
from fed_assets.federation.policies import Kits

SUBMITTED = Command("submit_job", "2026-01-01T10:00:00+00:00", 0.1, "1234")
POLLED = Command("get_job_meta 1234", "2026-01-01T10:00:01+00:00", 0.2, "RUNNING")


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


def test_a_refused_login_stands_in_the_history_of_the_run_that_it_was_issued_for(tmp_path):
    kits = Kits(port=1, server=tmp_path, hospitals={}, admin=tmp_path / "no_kit")
    admin = Admin(kits, tmp_path / "one.jsonl")
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
