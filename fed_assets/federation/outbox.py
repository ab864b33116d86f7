"""The folder through which the server's controller hands finished rounds to the session.

    <outbox>/rounds/0001/global.safetensors    the global weights after the round
    <outbox>/rounds/0001/round.json            who took part, and how
    <outbox>/failure.json                      the error that ended the job, if one did

A round is either there, whole, or not there at all.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from fed_assets.errors import FedAssetsError, StorageError, error_from_record
from fed_assets.federation.weights import Weights, write_weights

WEIGHTS_FILE = "global.safetensors"
ROUND_FILE = "round.json"


def round_folder(outbox: Path, round_number: int) -> Path:
    """Returns where a round is published."""
    return outbox / "rounds" / f"{round_number:04d}"


def publish_round(outbox: Path, record: Mapping[str, Any], weights: Weights) -> None:
    """Publishes a round's weights and record by one rename.

    Raises:
        StorageError: Something could not be written; nothing of the round is left behind.
    """
    folder = round_folder(outbox, record["round_number"])
    partial = folder.with_name(f".{folder.name}.partial")
    with written(f"Round {record['round_number']}", folder):
        try:
            shutil.rmtree(partial, ignore_errors=True)
            partial.mkdir(parents=True, mode=0o700)
            write_weights(partial / WEIGHTS_FILE, weights)
            (partial / ROUND_FILE).write_text(json.dumps(record, indent=1, allow_nan=False))
            for path in (partial / WEIGHTS_FILE, partial / ROUND_FILE, partial):
                _sync(path)
            partial.rename(folder)
            _sync(folder.parent)
        finally:
            # On a full disk it takes the space that `publish_failure` needs.
            shutil.rmtree(partial, ignore_errors=True)


@contextmanager
def written(what: str, where: Path) -> Iterator[None]:
    """Turns what hinders writing into a StorageError that says what could not be written."""
    try:
        yield
    except OSError as error:
        seen = os.strerror(error.errno) if error.errno else str(error)
        raise StorageError(f"{what} could not be written", where=str(where), seen=seen) from error


def publish_failure(outbox: Path, error: FedAssetsError) -> None:
    """Publishes the error that ends the job; the rounds before it stay.

    Raises:
        OSError: It could not be written.
    """
    outbox.mkdir(parents=True, exist_ok=True, mode=0o700)
    partial = outbox / ".failure.partial"
    partial.write_text(json.dumps(error.as_record()))
    partial.rename(outbox / "failure.json")


def read_round(outbox: Path, round_number: int) -> dict[str, Any] | None:
    """Returns a published round's record, or None where it is not published."""
    try:
        content = (round_folder(outbox, round_number) / ROUND_FILE).read_text()
    except FileNotFoundError:
        return None
    record: dict[str, Any] = json.loads(content)
    return record


def read_failure(outbox: Path) -> FedAssetsError | None:
    """Returns the published error, or None."""
    try:
        return error_from_record(json.loads((outbox / "failure.json").read_text()))
    except FileNotFoundError:
        return None


def forget_failure(outbox: Path) -> None:
    """Removes the failure of an earlier run, before another goes on in the same outbox."""
    (outbox / "failure.json").unlink(missing_ok=True)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
