"""Tables that are held open keep their file of shared memory, whoever else comes and goes."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from fed_assets.resources.held_tables import hold_tables


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """Returns a table as Dagster keeps them, which nobody has open."""
    path = tmp_path / "history" / "runs" / "index.db"
    path.parent.mkdir(parents=True)
    _look(path, "PRAGMA journal_mode=WAL", "CREATE TABLE events (id)")
    return path


def _look(path: Path, *statements: str) -> None:
    connection = sqlite3.connect(path)
    for statement in statements or ("SELECT * FROM events",):
        connection.execute(statement)
    connection.close()


def test_a_table_that_nobody_holds_loses_its_shared_memory_with_each_look(table: Path) -> None:
    _look(table)
    assert not table.with_name("index.db-shm").exists()


def test_a_held_table_keeps_its_shared_memory_and_can_be_written(
    table: Path, tmp_path: Path
) -> None:
    others = table.with_name("another-run.db")
    _look(others, "PRAGMA journal_mode=WAL", "CREATE TABLE events (id)")
    held = hold_tables(tmp_path, "this-run")
    assert not others.with_name("another-run.db-shm").exists()
    shared = table.with_name("index.db-shm")
    before = shared.stat().st_ino
    _look(table)
    _look(table, "INSERT INTO events VALUES (1)")
    assert shared.stat().st_ino == before
    for connection in held:
        connection.close()
    assert not shared.exists()
