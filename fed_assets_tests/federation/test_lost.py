"""Notes of lost hospitals and of ended job processes, as files."""

from __future__ import annotations

import pytest

from fed_assets.errors import StorageError
from fed_assets.federation.ended import read_ended, told, write_ended
from fed_assets.federation.lost import LOST_FOLDER, Loss, note_lost, read_lost


def test_lost_hospitals_are_read_as_they_were_noted(tmp_path):
    assert read_lost(tmp_path) == {}
    first, second = Loss("its client ended (signal 9)", "/a"), Loss("exit code 3", "/b")
    note_lost(tmp_path, "hospital_02", second)
    note_lost(tmp_path, "hospital_01", first)
    assert read_lost(tmp_path) == {"hospital_01": first, "hospital_02": second}


def test_a_note_that_is_not_whole_is_not_read(tmp_path):
    (tmp_path / LOST_FOLDER).mkdir()
    (tmp_path / LOST_FOLDER / ".hospital_01.partial").write_text('{"rea')
    assert read_lost(tmp_path) == {}


def test_a_loss_that_cannot_be_noted_names_the_hospital(tmp_path):
    (tmp_path / LOST_FOLDER).write_text("no folder")
    with pytest.raises(StorageError, match="The loss of hospital_01 could not be written"):
        note_lost(tmp_path, "hospital_01", Loss("", ""))


def test_the_end_of_a_job_is_that_of_no_other_job(tmp_path):
    write_ended(tmp_path, "first", -9)
    assert read_ended(tmp_path, "first")["code"] == -9
    assert read_ended(tmp_path, "second") is None


@pytest.mark.parametrize(
    ("code", "words"), [(0, "exit code 0"), (-9, "signal 9"), (None, "exit code unknown")]
)
def test_the_end_of_a_process_is_told_in_words(code, words):
    assert told(code) == words
