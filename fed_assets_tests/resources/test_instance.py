"""Dagster's instance: one process at a time makes it, and one error tells of its damage."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from fed_assets.errors import StorageError
from fed_assets.resources.home import Home
from fed_assets.resources.instance import open_instance

AT_ONCE = 3
OPENS = """
import sys
from pathlib import Path
import dagster
from fed_assets.resources.home import Home
from fed_assets.resources.instance import open_instance

sys.stdin.read()  # all of them begin at once
with open_instance(Home(Path(sys.argv[1]))) as instance:
    instance.get_runs()
"""


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path / "home").prepare()


def test_several_processes_may_open_a_new_home_at_once(home: Home) -> None:
    opened = [
        subprocess.Popen(
            [sys.executable, "-c", OPENS, str(home.root)],
            stdin=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(AT_ONCE)
    ]
    for process in opened:
        assert process.stdin
        process.stdin.close()
        process.stdin = None
    said = [process.communicate(timeout=120)[1] for process in opened]
    assert [process.returncode for process in opened] == [0] * AT_ONCE, said
    tables = sorted(home.instance.rglob("*.db"))
    assert {path.name for path in tables} >= {"index.db", "runs.db", "schedules.db"}
    for path in tables:
        with closing(sqlite3.connect(path)) as table:
            assert len(table.execute("SELECT * FROM alembic_version").fetchall()) == 1, path.name


@pytest.mark.parametrize("damage", ["no table", "two versions"])
def test_damaged_tables_are_one_error_that_says_how_to_go_on(home: Home, damage: str) -> None:
    with open_instance(home):
        pass
    (table,) = home.instance.rglob("schedules.db")
    if damage == "no table":
        for path in table.parent.glob("schedules.db*"):
            path.write_bytes(b"no table" * 1000)
    else:
        with closing(sqlite3.connect(table)) as opened, opened:
            opened.execute("INSERT INTO alembic_version VALUES ('0000')")
    with pytest.raises(StorageError, match="put it aside") as told, open_instance(home):
        pass
    assert str(home.instance) in str(told.value)


def test_a_home_that_nobody_can_write_is_opened_all_the_same(home: Home) -> None:
    with open_instance(home):
        pass
    lock = home.root / ".instance.lock"
    lock.unlink()
    lock.mkdir()  # what cannot be opened for writing, by root neither
    with open_instance(home) as instance:
        assert instance.get_runs() == []
