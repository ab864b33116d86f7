"""What the records of one model tell, as far as they are whole.

A damaged record hides no model: what the others tell counts, and what is wrong is said with it.
The signed package tells who is in a version too, and by their digests which records told so when it
was packaged: whatever else stands there now is damage.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fed_assets.errors import StorageError
from fed_assets.registry.lineage import MEND, Model
from fed_assets.resources.home import Home
from fed_assets.resources.model_folders import RECORD, folder_of
from fed_assets.resources.registered_models import RUN, tags_of
from fed_assets.resources.settled_files import ReadOnce
from fed_assets.resources.signed_records import read_signed
from fed_assets.resources.whole_files import parsed, read_bytes

LINEAGE = "The lineage of a run"
VERSION = "The record of a registered version"
LINEAGE_NAMES = frozenset({"run_id", "sandbox", "created", "hospitals", "rounds"})
VERSION_NAMES = frozenset({"run_id", "sandbox", "version", "participants", "evaluation"})
CURE = "Put it back from a backup: what a model was made of cannot be told without it"


@dataclass(frozen=True)
class Read:
    """What a file with a record came to.

    Attributes:
        record: What it tells; None where it is gone or damaged.
        damage: What is wrong with it, a sentence each.
        digest: sha256 (hex) of its bytes; empty where they cannot be read.
    """

    record: Mapping[str, Any] | None = None
    damage: tuple[str, ...] = ()
    digest: str = ""


def version_model(home: Home, sandbox: str, version: int) -> Model:
    """Returns the model of a registered version, by its package, its record and its lineage."""
    own = _version(home, sandbox, version)
    signed, refusal = read_signed(home, sandbox, version)
    run = own.record["run_id"] if own.record else _registered_run(home, sandbox, version)
    run = signed.run_id if signed else run
    left = read_lineage(home, run) if run else Read()
    damage = (*((refusal,) if refusal else ()), *own.damage, *left.damage)
    if signed:
        path = folder_of(home.models(sandbox), version) / RECORD
        damage += _unlike(VERSION, path, own, signed.record_digest)
        damage += _unlike(LINEAGE, lineage_file(home, run), left, signed.lineage_digest)
    return Model(
        sandbox=sandbox,
        run_id=run,
        version=version,
        lineage=left.record,
        participants=tuple(own.record["participants"]) if own.record else (),
        tested=tuple(own.record["evaluation"]["hospitals"]) if own.record else (),
        signed=signed.participants if signed else {},
        damage=damage,
    )


def run_model(home: Home, run_id: str) -> Model:
    """Returns the model of a run that left a lineage; of a damaged one nothing but the run."""
    left = read_lineage(home, run_id)
    sandbox = left.record["sandbox"] if left.record else ""
    return Model(sandbox=sandbox, run_id=run_id, lineage=left.record, damage=left.damage)


def lineage_file(home: Home, run_id: str) -> Path:
    """Returns where the lineage of a run lies."""
    return home.lineage / f"{run_id}.json"


def read_lineage(home: Home, run_id: str) -> Read:
    """Returns the lineage of a run; nothing at all where it left none."""
    path = lineage_file(home, run_id)
    read = _read((path,), path, LINEAGE, LINEAGE_NAMES)
    if read.record is None or (read.record["run_id"] == run_id and _is_lineage(read.record)):
        return read
    return _not_its_form(read, LINEAGE, path)


def _version(home: Home, sandbox: str, version: int) -> Read:
    path = folder_of(home.models(sandbox), version) / RECORD
    read = _read((path,), path, VERSION, VERSION_NAMES)
    if read.damage:
        return read
    if read.record is None:
        return Read(damage=(_damaged(VERSION, path, "it is gone"),))
    record = read.record
    named = record["sandbox"], record["version"], isinstance(record["run_id"], str)
    tested = record["evaluation"].get("hospitals") if _is_object(record["evaluation"]) else None
    if (
        named == (sandbox, version, True)
        and _are_names(record["participants"])
        and _is_object(tested)
    ):
        return read
    return _not_its_form(read, VERSION, path)


def _registered_run(home: Home, sandbox: str, version: int) -> str:
    """Returns the run that MLflow's registry has of a version; nothing where it cannot be read."""
    try:
        return tags_of(home.tracking, sandbox).get(version, {}).get(RUN, "")
    except StorageError:
        return ""


def _read_file(path: Path, what: str, names: frozenset[str]) -> Read:
    content = b""
    try:
        found = read_bytes(path, what=what, cure=CURE)
        if found is None:
            return Read()
        content = found
        record = parsed(content, path, what=what, cure=CURE, needs=names)
    except StorageError as error:
        return Read(None, (str(error),), hashlib.sha256(content).hexdigest() if content else "")
    return Read(record, (), hashlib.sha256(content).hexdigest())


_read = ReadOnce(_read_file)


def _unlike(what: str, path: Path, read: Read, signed: str) -> tuple[str, ...]:
    """Returns that a record is not the one that was signed, where nothing worse is said of it."""
    if read.damage or read.digest == signed:
        return ()
    if not read.digest:
        return (_damaged(what, path, "it is gone"),)
    error = StorageError(
        f"{what} is not the one that the version was signed with",
        where=str(path),
        seen="it was changed since",
        cure=MEND,
    )
    return (str(error),)


def _not_its_form(read: Read, what: str, path: Path) -> Read:
    return Read(None, (_damaged(what, path, "not its form, or another's"),), read.digest)


def _damaged(what: str, path: Path, seen: str) -> str:
    return str(StorageError(f"{what} is damaged", where=str(path), seen=seen, cure=CURE))


def _is_object(value: Any) -> bool:
    return isinstance(value, dict)


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
