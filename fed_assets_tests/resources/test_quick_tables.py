"""Dagster's tables: no record waits for the disk, and a killed process loses none."""

from __future__ import annotations

import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from dagster import DagsterInstance
from sqlalchemy import create_engine, event, text
from sqlalchemy.engine import Connection, Engine
from sqlalchemy.pool import NullPool

from fed_assets.resources.quick_tables import HELD, let_go, write_quickly

FULL, NORMAL = 2, 1  # values of SQLite's `synchronous`
WRITES = """
import atexit, gc, os, signal, sys
from pathlib import Path
from dagster import DagsterInstance
from fed_assets.resources.quick_tables import write_quickly

write_quickly(Path(sys.argv[1]))
with DagsterInstance.from_config(sys.argv[1]) as instance:
    instance.report_engine_event("kept", job_name="some", run_id="some-run")
    {end}
"""


@pytest.fixture(autouse=True)
def nothing_held() -> Iterator[None]:
    """Closes what a test has kept open."""
    yield
    let_go()


@pytest.fixture
def instance(tmp_path: Path) -> Path:
    """Returns the folder of an instance whose tables are written quickly."""
    folder = tmp_path / "dagster"
    folder.mkdir()
    (folder / "dagster.yaml").write_text("telemetry: {enabled: false}\n")
    write_quickly(folder)
    return folder


def _synchronous(file: Path, journal: str = "wal") -> int:
    """Returns how SQLAlchemy's next connection to a new file waits for the disk."""
    with closing(sqlite3.connect(file)) as connection:
        connection.execute(f"PRAGMA journal_mode={journal}")
        connection.execute("CREATE TABLE records (id)")
    engine = create_engine(f"sqlite:///{file}", poolclass=NullPool)
    with engine.connect() as connected:
        return int(connected.execute(text("PRAGMA synchronous")).scalar_one())


def _write(instance: Path, end: str) -> int:
    """Returns how a process ended that wrote a record, and then did something else."""
    program = WRITES.format(end=end)
    return subprocess.run([sys.executable, "-c", program, str(instance)], check=False).returncode


def _logs(instance: Path) -> list[str]:
    """Returns the names of the logs whose records are not moved to the tables yet."""
    return sorted(path.name for path in instance.rglob("*.db-wal") if path.stat().st_size)


def test_a_record_of_the_instance_does_not_wait_for_the_disk(instance: Path) -> None:
    assert _synchronous(instance / "some.db") == NORMAL


def test_records_of_a_run_compile_their_statements_once(instance: Path) -> None:
    made: list[Connection] = []
    note = made.append
    event.listen(Engine, "engine_connect", note)
    try:
        with DagsterInstance.from_config(str(instance)) as opened:
            for _ in range(20):
                opened.report_engine_event("kept", job_name="some", run_id="some-run")
    finally:
        event.remove(Engine, "engine_connect", note)
    engines = {connection.engine.url.database: connection.engine for connection in made}
    assert {connection.engine for connection in made} == set(engines.values())
    assert len(made) > 20


def test_a_file_elsewhere_does(instance: Path, tmp_path: Path) -> None:
    assert _synchronous(tmp_path / "other.db") == FULL


def test_a_table_without_a_write_ahead_log_does_as_a_power_cut_could_harm_it(
    instance: Path,
) -> None:
    assert _synchronous(instance / "some.db", journal="delete") == FULL


def test_tables_are_made_with_a_write_ahead_log_from_the_start(instance: Path) -> None:
    engine = create_engine(f"sqlite:///{instance / 'new.db'}", poolclass=NullPool)
    with engine.connect() as connected:
        assert connected.execute(text("PRAGMA journal_mode")).scalar_one() == "wal"


def test_the_log_is_not_moved_to_the_table_after_each_record(instance: Path) -> None:
    with DagsterInstance.from_config(str(instance)) as dagster:
        for _ in range(3):
            dagster.report_engine_event("something", job_name="some", run_id="some-run")
        logs = _logs(instance)
    assert "some-run.db-wal" in logs


def test_no_more_files_are_kept_open_than_a_run_writes(instance: Path) -> None:
    for number in range(HELD + 3):
        _synchronous(instance / f"{number}.db")
    assert len(list(instance.glob("*.db-wal"))) == HELD


def test_a_killed_process_loses_no_record(instance: Path) -> None:
    assert _write(instance, "os.kill(os.getpid(), signal.SIGKILL)") == -signal.SIGKILL
    assert _logs(instance)  # which hold the record
    with DagsterInstance.from_config(str(instance)) as dagster:
        (entry,) = dagster.all_logs("some-run")
        assert entry.get_dagster_event().message == "kept"


def test_a_process_that_ends_moves_its_records_to_the_tables_though_it_looks_for_no_garbage(
    instance: Path,
) -> None:
    assert _write(instance, "atexit.register(gc.freeze)") == 0
    assert not _logs(instance)


def test_a_file_that_is_no_table_is_told_of_by_what_it_is_opened_for(instance: Path) -> None:
    (instance / "broken.db").write_bytes(b"no table" * 1000)
    engine = create_engine(f"sqlite:///{instance / 'broken.db'}", poolclass=NullPool)
    with engine.connect() as connected, pytest.raises(Exception, match="not a database") as told:
        connected.execute(text("SELECT 1 FROM sqlite_master"))
    assert type(told.value).__module__.startswith("sqlalchemy")
