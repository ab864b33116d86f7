"""What is asked each second is read but once, and whatever is another file then is read anew."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from fed_assets.resources import settled_files
from fed_assets.resources.settled_files import ReadOnce


class Reader:
    """Reads a file, and counts how often it did."""

    def __init__(self) -> None:
        self.times = 0

    def __call__(self, path: Path) -> str:
        self.times += 1
        return path.read_text() if path.exists() else "none"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "record.json"
    path.write_text("north")
    return path


def test_a_file_that_has_settled_is_read_once(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settled_files, "SETTLED_SECONDS", 0.01)
    time.sleep(0.05)
    reader = Reader()
    once = ReadOnce(reader)
    assert [once((file,), file) for _ in range(5)] == ["north"] * 5
    assert reader.times == 1


def test_one_of_the_same_length_whose_time_was_set_back_is_read_anew(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settled_files, "SETTLED_SECONDS", 0.01)
    time.sleep(0.05)
    once = ReadOnce(Reader())
    assert once((file,), file) == "north"
    before = file.stat()
    file.write_text("south")
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    time.sleep(0.05)
    after = file.stat()
    same = (before.st_mtime_ns, before.st_size, before.st_ino)
    assert (after.st_mtime_ns, after.st_size, after.st_ino) == same
    assert once((file,), file) == "south"
    file.unlink()
    assert once((file,), file) == "none"


def test_a_file_that_was_changed_just_now_is_read_each_time(file: Path) -> None:
    reader = Reader()
    once = ReadOnce(reader)
    assert [once((file,), file) for _ in range(3)] == ["north"] * 3
    assert reader.times == 3
