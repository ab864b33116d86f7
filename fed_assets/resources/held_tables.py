"""Dagster's tables, held open by the run of a user who shares them with root."""

from __future__ import annotations

import atexit
import sqlite3
from pathlib import Path


def hold_tables(instance: Path, run: str) -> list[sqlite3.Connection]:
    """Opens the SQLite files that a run writes, and returns what keeps them open while it lives.

    SQLite makes a file of shared memory beside a table when the first process opens it, and removes
    it when the last one closes it. Where root looks at a run's progress, that is again and again,
    and for a moment the file is root's alone: whoever else opens the table just then "cannot open
    database file". It stays as long as anybody holds the table, at most until this process's end.

    Args:
        instance: The folder of Dagster's instance.
        run: The run's id; of other runs, each of which has a file of its own, none is opened.
    """
    held = []
    own = {"index", run}
    for path in sorted(instance.rglob("*.db")):
        if path.parent.name == "runs" and path.stem not in own:
            continue
        held.append(opened(path))
        atexit.register(held[-1].close)
    return held


def opened(path: Path) -> sqlite3.Connection:
    """Returns what keeps a file open until it is closed, by any thread."""
    connection = sqlite3.connect(path, check_same_thread=False)
    connection.execute("SELECT 1 FROM sqlite_master").fetchall()  # SQLite opens it when it is read
    return connection
