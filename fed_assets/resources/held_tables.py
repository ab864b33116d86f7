"""Dagster's tables, held open by the run of a user who shares them with root."""

from __future__ import annotations

import sqlite3
from pathlib import Path


def hold_tables(instance: Path) -> list[sqlite3.Connection]:
    """Opens each of an instance's SQLite files, and returns what keeps it open while it lives.

    SQLite makes a file of shared memory beside a table when the first process opens it, and removes
    it when the last one closes it. Where root looks at a run's progress, that is again and again,
    and for a moment the file is root's alone: whoever else opens the table just then "cannot open
    database file". It stays as long as anybody holds the table.

    Args:
        instance: The folder of Dagster's instance.
    """
    held = []
    for path in sorted(instance.rglob("*.db")):
        connection = sqlite3.connect(path)
        connection.execute("SELECT 1 FROM sqlite_master").fetchall()
        held.append(connection)
    return held
