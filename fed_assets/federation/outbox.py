"""The folder through which the server's controller hands finished rounds to the session.

    <outbox>/rounds/0001/global.safetensors    the global weights after the round
    <outbox>/rounds/0001/round.json            who took part, and how
    <outbox>/rounds/0001/optimizer.safetensors the server's optimizer after the round, under fedopt
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
from fed_assets.federation.weights import Weights, read_weights, write_weights
from fed_assets.privacy.digests import weights_digest

WEIGHTS_FILE = "global.safetensors"
ROUND_FILE = "round.json"
OPTIMIZER_FILE = "optimizer.safetensors"
RECORD = {"round_number", "participants", "missing", "global_digest", "seconds"}


def round_folder(outbox: Path, round_number: int) -> Path:
    """Returns where a round is published."""
    return outbox / "rounds" / f"{round_number:04d}"


def publish_round(
    outbox: Path, record: Mapping[str, Any], weights: Weights, optimizer: Weights | None = None
) -> None:
    """Publishes a round's weights, its record and the server's optimizer's state by one rename.

    Raises:
        StorageError: Something could not be written; nothing of the round is left behind.
    """
    with _publishing(outbox, record["round_number"]) as folder:
        write_weights(folder / WEIGHTS_FILE, weights)
        if optimizer:
            write_weights(folder / OPTIMIZER_FILE, optimizer)
            record = {**record, "optimizer_digest": weights_digest(optimizer)}
        (folder / ROUND_FILE).write_text(json.dumps(record, indent=1, allow_nan=False))


def copy_round(source: Path, outbox: Path, round_number: int) -> None:
    """Publishes another outbox's round in this one: by hard links, where these can be made.

    Raises:
        StorageError: Something could not be written; nothing of the round is left behind.
    """
    with _publishing(outbox, round_number) as folder:
        for name in (WEIGHTS_FILE, ROUND_FILE, OPTIMIZER_FILE):
            published = round_folder(source, round_number) / name
            if name == OPTIMIZER_FILE and not published.exists():
                continue
            try:
                os.link(published, folder / name)
            except OSError:  # another file system, or one that has no hard links
                shutil.copyfile(published, folder / name)


@contextmanager
def _publishing(outbox: Path, round_number: int) -> Iterator[Path]:
    """Yields a folder to fill, and renames it to the round's own when that is done."""
    folder = round_folder(outbox, round_number)
    partial = folder.with_name(f".{folder.name}.partial")
    with written(f"Round {round_number}", folder):
        try:
            shutil.rmtree(partial, ignore_errors=True)
            partial.mkdir(parents=True, mode=0o700)
            yield partial
            for path in (*partial.iterdir(), partial):
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
    """Returns a published round's record, or None where it is not published.

    Raises:
        StorageError: It was published, and cannot be read any more.
    """
    path = round_folder(outbox, round_number) / ROUND_FILE
    try:
        record = json.loads(path.read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise _damaged(round_number, path, type(error).__name__) from error
    if not isinstance(record, dict):
        raise _damaged(round_number, path, "no JSON object")
    return record


def read_whole_round(outbox: Path, round_number: int) -> dict[str, Any] | None:
    """Returns a round's record, after comparing its weights with it; None where there is no round.

    Raises:
        StorageError: The round is not what was published.
    """
    folder = round_folder(outbox, round_number)
    if not folder.exists():
        return None
    record = read_round(outbox, round_number)
    if record is None or not record.keys() >= RECORD:
        raise _damaged(round_number, folder, "no whole record")
    digest = weights_digest(read_weights(folder / WEIGHTS_FILE))
    if (record["round_number"], record["global_digest"]) != (round_number, digest):
        raise _damaged(round_number, folder, f"weights of digest {digest[:16]}")
    if "optimizer_digest" in record:
        read_optimizer(outbox, round_number)
    return record


def read_optimizer(outbox: Path, round_number: int) -> Weights:
    """Returns the state in which the server's optimizer was after a published round.

    Raises:
        StorageError: It is not there, or not what was published.
    """
    folder = round_folder(outbox, round_number)
    state = read_weights(folder / OPTIMIZER_FILE)
    digest = weights_digest(state)
    if (read_round(outbox, round_number) or {}).get("optimizer_digest") != digest:
        raise _damaged(round_number, folder, f"an optimizer's state of digest {digest[:16]}")
    return state


def _damaged(round_number: int, where: Path, seen: str) -> StorageError:
    return StorageError(
        f"Round {round_number} is damaged", where=str(where), seen=seen, cure="Train it again"
    )


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
