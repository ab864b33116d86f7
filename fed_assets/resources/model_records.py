"""What the records of one model tell, as far as they are whole.

A damaged record hides no model: what the others tell counts, and what is wrong is said with it.
"""

from __future__ import annotations

from collections.abc import Mapping, Set
from functools import lru_cache
from pathlib import Path
from typing import Any

from fed_assets.errors import StorageError
from fed_assets.registry.lineage import Model
from fed_assets.resources.home import Home
from fed_assets.resources.model_folders import RECORD, folder_of
from fed_assets.resources.registered_models import RUN, tags_of
from fed_assets.resources.whole_files import read_whole

LINEAGE = "The lineage of a run"
VERSION = "The record of a registered version"
LINEAGE_NAMES = frozenset({"run_id", "sandbox", "created", "hospitals", "rounds"})
VERSION_NAMES = frozenset({"run_id", "sandbox", "version", "participants"})
CURE = "Put it back from a backup: what a model was made of cannot be told without it"
KEPT_READ = 4096

Read = tuple[Mapping[str, Any] | None, tuple[str, ...]]


def version_model(home: Home, sandbox: str, version: int) -> Model:
    """Returns the model of a registered version, by its own record and its run's lineage."""
    record, damage = _version(home, sandbox, version)
    run = record["run_id"] if record else _registered_run(home, sandbox, version)
    lineage, also = read_lineage(home, run) if run else (None, ())
    return Model(
        sandbox=sandbox,
        run_id=run,
        version=version,
        lineage=lineage,
        participants=tuple(record["participants"]) if record else (),
        damage=damage + also,
    )


def run_model(home: Home, run_id: str) -> Model:
    """Returns the model of a run that left a lineage; of a damaged one nothing but the run."""
    lineage, damage = read_lineage(home, run_id)
    sandbox = lineage["sandbox"] if lineage else ""
    return Model(sandbox=sandbox, run_id=run_id, lineage=lineage, damage=damage)


def read_lineage(home: Home, run_id: str) -> Read:
    """Returns the lineage of a run, None where it has none that is whole, and what is wrong."""
    path = home.lineage / f"{run_id}.json"
    record, damage = _read(path, LINEAGE, LINEAGE_NAMES)
    if record is None or (record["run_id"] == run_id and _is_lineage(record)):
        return record, damage
    return None, (_damaged(LINEAGE, path, "not its form"),)


def _version(home: Home, sandbox: str, version: int) -> Read:
    path = folder_of(home.models(sandbox), version) / RECORD
    record, damage = _read(path, VERSION, VERSION_NAMES)
    if damage:
        return None, damage
    if record is None:
        return None, (_damaged(VERSION, path, "it is gone"),)
    named = record["sandbox"], record["version"], isinstance(record["run_id"], str)
    if named == (sandbox, version, True) and _are_names(record["participants"]):
        return record, ()
    return None, (_damaged(VERSION, path, "not its form, or another's"),)


def _registered_run(home: Home, sandbox: str, version: int) -> str:
    """Returns the run that MLflow's registry has of a version; nothing where it cannot be read."""
    try:
        return tags_of(home.tracking, sandbox).get(version, {}).get(RUN, "")
    except StorageError:
        return ""


def _read(path: Path, what: str, names: frozenset[str]) -> Read:
    """Reads a file anew only where it is another one than before: a service asks each second."""
    try:
        found = path.stat()
    except FileNotFoundError:
        return None, ()
    except OSError as error:
        return None, (_damaged(what, path, type(error).__name__),)
    return _read_once(path, what, names, (found.st_mtime_ns, found.st_size, found.st_ino))


@lru_cache(KEPT_READ)
def _read_once(path: Path, what: str, names: Set[str], _: tuple[int, ...]) -> Read:
    try:
        return read_whole(path, what=what, cure=CURE, needs=names), ()
    except StorageError as error:
        return None, (str(error),)


def _damaged(what: str, path: Path, seen: str) -> str:
    return str(StorageError(f"{what} is damaged", where=str(path), seen=seen, cure=CURE))


def _is_lineage(record: Mapping[str, Any]) -> bool:
    hospitals, rounds = record["hospitals"], record["rounds"]
    return (
        isinstance(record["sandbox"], str)
        and isinstance(record["created"], str)
        and isinstance(hospitals, dict)
        and all(_is_gift(gave) for gave in hospitals.values())
        and isinstance(rounds, list)
        and all(isinstance(each, dict) for each in rounds)
        and all(isinstance(each.get("participants"), dict) for each in rounds)
    )


def _is_gift(gave: Any) -> bool:
    return (
        isinstance(gave, dict)
        and _are_names(gave.get("data_digests"))
        and isinstance(gave.get("rounds"), list)
        and all(isinstance(number, int) for number in gave["rounds"])
        and isinstance(gave.get("chose_threshold"), bool)
    )


def _are_names(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(each, str) for each in value)
