"""Dagster's SQLite files, written without waiting for the disk at each of a run's records.

Dagster opens its file anew for each of a thousand records, and SQLite then waits for the disk up to
four times: as the record is written, and as the file is closed by its last user. Here a process
keeps the files open that it wrote last, and a record waits for the disk only as it moves from the
write-ahead log to the table. A killed process loses none; a power cut may lose the last records,
and leaves the tables whole (https://www.sqlite.org/pragma.html#pragma_synchronous). It also keeps
SQLAlchemy's engines of those files: a new one compiles each statement anew, for each record.
"""

from __future__ import annotations

import atexit
import sqlite3
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any

from dagster._core.storage.event_log.sqlite import sqlite_event_log
from dagster._core.storage.runs.sqlite import sqlite_run_storage
from dagster._core.storage.schedules.sqlite import sqlite_schedule_storage
from sqlalchemy import create_engine, event
from sqlalchemy.engine import Engine

from fed_assets.resources.held_tables import opened

# A run writes four: of runs, of schedules, of all runs' events and of its own.
HELD = 4
_folders: set[Path] = set()
_held: dict[str, sqlite3.Connection] = {}  # by file, the one opened last at the end
_engines: dict[str, Engine] = {}  # by address, the one used last at the end
_holding = threading.Lock()


def write_quickly(instance: Path) -> None:
    """Has this process write the SQLite files below a folder so, from their next opening on.

    Args:
        instance: The folder of Dagster's instance.
    """
    if not event.contains(Engine, "connect", _on_connect):
        event.listen(Engine, "connect", _on_connect)
        atexit.register(let_go)
    for storage in (sqlite_event_log, sqlite_run_storage, sqlite_schedule_storage):
        storage.create_engine = _engine  # type: ignore[attr-defined]  # Dagster has no setting
    _folders.add(instance.resolve())


def let_go() -> None:
    """Closes the files that are kept open; whoever is the last to do so moves the log's records."""
    with _holding:
        while _held:
            _held.popitem()[1].close()


def _on_connect(connection: Any, _: Any) -> None:
    if not isinstance(connection, sqlite3.Connection):
        return
    with suppress(sqlite3.Error):  # of a file that cannot be used, what it is opened for tells
        file = connection.execute("PRAGMA database_list").fetchone()[2]
        if not _folders.isdisjoint(Path(file).resolve().parents):
            _quicken(connection)
            _hold(file)


def _engine(address: str, **settings: Any) -> Engine:
    """Returns the engine that opened a file last time, unless as many others were used after it."""
    with _holding:
        engine = _engines.pop(address, None) or create_engine(address, **settings)
        _engines[address] = engine
        if len(_engines) > HELD:
            del _engines[next(iter(_engines))]
    return engine


def _quicken(connection: sqlite3.Connection) -> None:
    (pages,) = connection.execute("PRAGMA page_count").fetchone()
    if not pages:  # Dagster changes to the write-ahead log too, but once all tables are made
        connection.execute("PRAGMA journal_mode=WAL")
    (journal,) = connection.execute("PRAGMA journal_mode").fetchone()
    if journal == "wal":  # with any other, a power cut could harm the table
        connection.execute("PRAGMA synchronous=NORMAL")


def _hold(file: str) -> None:
    """Keeps a file open until as many others were opened after it."""
    with _holding:
        held = _held.pop(file, None) or opened(Path(file))
        _held[file] = held
        if len(_held) > HELD:
            _held.pop(next(iter(_held))).close()
