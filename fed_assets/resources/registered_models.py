"""The door to MLflow's registry: a sqlite file beside its runs, read and pointed in at once.

MLflow's own client takes four to twelve seconds and 230 MB to be there, for which neither a command
nor a service that looks every second can wait, and least of all a rollback. So aliases and tags are
read from its tables as they stand, and written into them, which is one row each, as MLflow itself
would write it. Versions come into it through MLflow alone.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from fed_assets.errors import StorageError
from fed_assets.resources.quiet_mlflow import DATABASE, mlflow_uri, quiet_mlflow

if TYPE_CHECKING:
    from mlflow import MlflowClient

CHAMPION, CHALLENGER = "champion", "challenger"
RUN, DIGEST = "dagster_run_id", "weights_digest"  # tags of a version
BUSY_SECONDS = 5.0
# What MLflow calls the stage of a version that it deleted.
NOT_DELETED = "current_stage IS NOT 'Deleted_Internal'"
RESTORE = "put mlflow.db back from a backup; which version serves is told there alone"


def model_name(sandbox: str) -> str:
    """Returns what the registry calls a sandbox's model."""
    return f"fed_assets_{sandbox}"


def aliases_of(folder: Path, sandbox: str) -> dict[str, int] | None:
    """Returns the version that each alias of a sandbox's model names; None without a registry.

    Args:
        folder: MLflow's folder of the home.
        sandbox: The sandbox.

    Raises:
        StorageError: The registry cannot be reached.
    """
    rows = _read(
        folder,
        "registered_model_aliases",
        "SELECT alias, version FROM registered_model_aliases WHERE name = ?",
        model_name(sandbox),
    )
    return None if rows is None else {str(alias): int(version) for alias, version in rows}


def tags_of(folder: Path, sandbox: str) -> dict[int, dict[str, str]]:
    """Returns the tags of every version of a sandbox's model.

    Raises:
        StorageError: The registry cannot be reached.
    """
    rows = _read(
        folder,
        "model_versions",
        "SELECT version, key, value FROM model_versions LEFT JOIN model_version_tags "
        f"USING (name, version) WHERE name = ? AND {NOT_DELETED}",
        model_name(sandbox),
    )
    tags: dict[int, dict[str, str]] = {}
    for version, key, value in rows or ():
        tags.setdefault(int(version), {}).update({} if key is None else {str(key): str(value)})
    return tags


def _read(folder: Path, table: str, query: str, name: str) -> list[tuple[Any, ...]] | None:
    path = folder / DATABASE
    if not path.exists():
        return None
    try:
        with contextlib.closing(_open(path, "ro")) as database:
            known = "SELECT 1 FROM sqlite_master WHERE name = ?"
            if database.execute(known, (table,)).fetchone() is None:
                return None  # MLflow is only just making it
            return database.execute(query, (name,)).fetchall()
    except sqlite3.Error as error:
        raise unreachable(folder, str(error)) from None


def _open(path: Path, mode: str) -> sqlite3.Connection:
    return sqlite3.connect(
        f"file:{quote(str(path))}?mode={mode}",
        uri=True,
        timeout=BUSY_SECONDS,
        isolation_level=None,
    )


@contextlib.contextmanager
def writing(folder: Path) -> Iterator[MlflowClient]:
    """Yields MLflow's client, after making sure that its registry can be written.

    MLflow itself would try for a quarter of an hour to open what cannot be opened.

    Raises:
        StorageError: The registry cannot be reached, or MLflow could not write.
    """
    path = folder / DATABASE
    try:
        with contextlib.closing(_open(path, "rw")) as database:
            database.execute("BEGIN IMMEDIATE")
            database.execute("ROLLBACK")
    except sqlite3.Error as error:
        raise unreachable(folder, str(error)) from None
    with quiet_mlflow() as mlflow:
        try:
            mlflow.set_tracking_uri(mlflow_uri(folder))
            yield mlflow.MlflowClient(
                tracking_uri=mlflow_uri(folder), registry_uri=mlflow_uri(folder)
            )
        except mlflow.exceptions.MlflowException as error:
            seen = str(error).strip().partition("\n")[0][:300]
            raise unreachable(folder, seen) from None


def unreachable(folder: Path, seen: str) -> StorageError:
    """Returns the error that MLflow's registry cannot be used."""
    path = folder / DATABASE
    return StorageError(
        "MLflow's registry of models cannot be used",
        where=str(path),
        seen=seen,
        cure=f"Wait until no other process writes to it, or {RESTORE}"
        if path.exists()
        else RESTORE[0].upper() + RESTORE[1:],
    )


def create_version(
    client: MlflowClient, sandbox: str, run: str, tags: Mapping[str, str], folder: Path
) -> int:
    """Makes the model that an MLflow run logged a version of the sandbox's model.

    Raises:
        StorageError: The run logged no model, or is not there.
    """
    from mlflow.exceptions import MlflowException

    name = model_name(sandbox)
    experiment = client.get_run(run).info.experiment_id
    logged = client.search_logged_models([experiment], f"source_run_id = '{run}'")
    if not logged:
        raise StorageError(
            "MLflow has no model of the run that is to be registered",
            where=str(folder / DATABASE),
            seen=f"run {run}",
            cure="Materialize evaluation_report again, then registered_model",
        )
    with contextlib.suppress(MlflowException):  # it is there already; what else fails, fails below
        client.create_registered_model(
            name, description=f"The model that hospitals trained in the sandbox {sandbox}."
        )
    version = client.create_model_version(
        name,
        f"models:/{logged[0].model_id}",
        run,
        tags=dict(tags),
        model_id=logged[0].model_id,
    )
    return int(version.version)


def point(folder: Path, sandbox: str, alias: str, version: int | None) -> None:
    """Has an alias name a version; None: no version.

    Raises:
        StorageError: The registry cannot be written, or has no such version.
    """
    name = model_name(sandbox)
    with _changing(folder) as database:
        if version is None:
            gone = "DELETE FROM registered_model_aliases WHERE name = ? AND alias = ?"
            database.execute(gone, (name, alias))
        else:
            _require_version(database, folder, name, version)
            named = "INSERT OR REPLACE INTO registered_model_aliases (name, alias, version) "
            database.execute(f"{named} VALUES (?, ?, ?)", (name, alias, version))


def tag(folder: Path, sandbox: str, version: int, key: str, value: str | None) -> None:
    """Has a version bear a tag; None: not any more.

    Raises:
        StorageError: The registry cannot be written, or has no such version.
    """
    name = model_name(sandbox)
    with _changing(folder) as database:
        _require_version(database, folder, name, version)
        if value is None:
            gone = "DELETE FROM model_version_tags WHERE name = ? AND version = ? AND key = ?"
            database.execute(gone, (name, version, key))
        else:
            named = "INSERT OR REPLACE INTO model_version_tags (name, version, key, value) "
            database.execute(f"{named} VALUES (?, ?, ?, ?)", (name, version, key, value))


@contextlib.contextmanager
def _changing(folder: Path) -> Iterator[sqlite3.Connection]:
    """Yields the database in a change that is made whole or not at all."""
    try:
        with contextlib.closing(_open(folder / DATABASE, "rw")) as database:
            database.execute("PRAGMA foreign_keys = ON")
            database.execute("BEGIN IMMEDIATE")
            yield database
            database.execute("COMMIT")
    except sqlite3.Error as error:
        raise unreachable(folder, str(error)) from None


def _require_version(database: sqlite3.Connection, folder: Path, name: str, version: int) -> None:
    known = f"SELECT 1 FROM model_versions WHERE name = ? AND version = ? AND {NOT_DELETED}"
    if database.execute(known, (name, version)).fetchone() is None:
        raise unreachable(folder, f"it has no version {version} of {name}")
