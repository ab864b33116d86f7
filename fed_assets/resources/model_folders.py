"""One folder per registered version: its record and its weights, which never change.

<home>/models/<sandbox>/
    v<N>/version.json         what made the version, see `registry.version`
    v<N>/weights.safetensors
    v<N>/package/             what serves it, once it was packaged
    promotions.jsonl          who had which version serve
    .lock                     held while that changes
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import uuid
from pathlib import Path

from fed_assets.errors import StorageError, system_reason
from fed_assets.registry.version import DAMAGED, ModelVersion
from fed_assets.resources.whole_files import read_whole, write_whole

RECORD, WEIGHTS = "version.json", "weights.safetensors"
PACKAGE = "package/manifest.json"
_FOLDER = re.compile(r"v([1-9]\d*)")


def folder_of(models: Path, version: int) -> Path:
    """Returns the folder of a version among those of its sandbox."""
    return models / f"v{version}"


def kept_versions(models: Path) -> list[int]:
    """Returns the versions that have a folder, in their order."""
    found = (_FOLDER.fullmatch(path.name) for path in models.glob("v*"))
    return sorted(int(match[1]) for match in found if match)


def read_version(models: Path, version: int) -> ModelVersion | None:
    """Returns a version's record; None where there is none.

    Raises:
        StorageError: It is damaged, or another version's.
    """
    path = folder_of(models, version) / RECORD
    record = read_whole(path, what="The record of a registered version", cure=DAMAGED)
    if record is None:
        return None
    known = ModelVersion.from_record(record, where=str(path))
    if known.version != version:
        raise StorageError(
            "The record of a registered version is another's",
            where=str(path),
            seen=f"version {known.version}",
            cure=DAMAGED,
        )
    return known


def file_digest(path: Path) -> str:
    """Returns the sha256 (hex) of a file.

    Raises:
        StorageError: It cannot be read.
    """
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise StorageError(
            "A model's weights cannot be read",
            where=str(path),
            seen=system_reason(error),
            cure="Put the file back from a backup, or materialize global_model again",
        ) from None


def write_folder(models: Path, version: ModelVersion, weights: Path) -> None:
    """Writes a version's folder, whole or not at all; what stands there already is left.

    Raises:
        StorageError: It cannot be written, or another model's folder stands in its place.
    """
    folder = folder_of(models, version.version)
    if folder.exists():
        kept = read_version(models, version.version)
        if kept is None or _identity(kept) != _identity(version):
            raise StorageError(
                "The folder of another model stands where a version is to be kept",
                where=str(folder),
                cure="MLflow's registry was lost or replaced: put mlflow.db back from a backup, or "
                "move the sandbox's folder of models away",
            )
        return
    partial = models / f".{folder.name}.{uuid.uuid4().hex[:8]}"
    try:
        write_whole(partial / WEIGHTS, weights.read_bytes())
        write_whole(partial / RECORD, json.dumps(version.as_record(), indent=1).encode())
        if file_digest(partial / WEIGHTS) != version.weights_digest:
            raise StorageError(
                "The weights changed while the version was registered",
                where=str(weights),
                cure="Materialize evaluation_report again, then registered_model",
            )
        partial.rename(folder)
    except OSError as error:
        raise StorageError(
            "A registered version cannot be kept", where=str(models), seen=system_reason(error)
        ) from None
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def remove_folder(models: Path, version: int) -> None:
    """Removes the folder of a version that did not come to be."""
    shutil.rmtree(folder_of(models, version), ignore_errors=True)


def _identity(version: ModelVersion) -> tuple[str, str, str]:
    return version.sandbox, version.run_id, version.weights_digest
