"""A registered version's package: made by the coordinator's process, and signed by the registry."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import version as version_of
from pathlib import Path
from typing import Any

from fed_assets.errors import PackageRefused, StorageError, system_reason
from fed_assets.registry.lineage import Model, data_of
from fed_assets.registry.version import ModelVersion
from fed_assets.resources.hospital_runner import COORDINATOR, LocalHospitalRunner
from fed_assets.resources.model_folders import RECORD, file_digest
from fed_assets.resources.model_records import lineage_file, version_model
from fed_assets.resources.model_registry import ModelRegistry
from fed_assets.sandboxes.sandbox import Sandbox
from fed_assets.serving.keys import signing_key
from fed_assets.serving.manifest import ModelFacts
from fed_assets.serving.package import (
    PACKAGE,
    Package,
    half_packaged,
    open_package,
    remove_half_packaged,
    sign_package,
)

PACKAGES = ("torch", "monai", "onnx", "onnxruntime", "safetensors")


def package_version(
    version: ModelVersion,
    sandbox: Sandbox,
    hospitals: LocalHospitalRunner,
    registry: ModelRegistry,
) -> tuple[Package, dict[str, Any] | None]:
    """Returns a version's signed package, and what its exports came to; None where it was there.

    Raises:
        PackageRefused: there is one, and it is not genuine.
        ExportDiffers: an export says something else than torch; nothing is left.
        StorageError: it cannot be written, or the version's records are damaged or differ from each
            other or from what was signed; nothing is left.
    """
    folder = registry.folder(sandbox.name, version.version) / PACKAGE
    key = signing_key(registry.home.models_key, models=registry.home.all_models)
    if folder.exists():
        there = open_package(
            folder, key.public_key(), sandbox=sandbox.name, version=version.version
        )
        _require_weights(there, version)
        _require_records(registry, version)
        return there, None
    remove_half_packaged(folder)
    partial = half_packaged(folder)
    try:
        made = hospitals.ask(
            sandbox, COORDINATOR, "package_model", _asked(version, registry, partial)
        )
        signed = sign_package(partial, facts_of(version, origin_of(registry, version)), key)
        partial.rename(folder)
    except OSError as error:
        raise StorageError(
            "The package cannot be put in its place",
            where=str(folder.parent),
            seen=system_reason(error),
        ) from None
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return Package(folder, signed.facts, signed.digest, signed.files), made


@dataclass(frozen=True, kw_only=True)
class Origin:
    """What is signed of where a version comes from, see `ModelFacts`."""

    participants: Mapping[str, tuple[str, ...]]
    record_digest: str
    lineage_digest: str


def facts_of(version: ModelVersion, origin: Origin) -> ModelFacts:
    """Returns what a version's package says of it."""
    calibration: Mapping[str, Any] = version.evaluation["test"].get(
        "expected_calibration_error", {}
    )
    return ModelFacts(
        sandbox=version.sandbox,
        version=version.version,
        run_id=version.run_id,
        **vars(origin),
        classes=version.classes,
        channels=version.channels,
        image_size=version.image_size,
        threshold=version.threshold,
        calibration={bound: calibration.get(bound) for bound in ("value", "low", "high")},
        weights_digest=version.weights_digest,
        synthetic=version.synthetic,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        versions={"fed_assets": version.code_version}
        | {name: version_of(name) for name in PACKAGES},
    )


def described(package: Package) -> dict[str, Any]:
    """Returns what is handed on of a package, JSON-ready."""
    return {"digest": package.digest, "facts": asdict(package.facts), "folder": str(package.folder)}


def _asked(version: ModelVersion, registry: ModelRegistry, folder: Path) -> dict[str, Any]:
    made_up = " Of SYNTHETIC DATA, not of patients." if version.synthetic else ""
    return {
        "weights": str(registry.weights(version.sandbox, version.version)),
        "network": dict(version.network),
        "channels": version.channels,
        "classes": list(version.classes),
        "image_size": version.image_size,
        "about": f"fed_assets_{version.sandbox}, version {version.version}, which "
        f"{len(version.participants)} hospitals trained together.{made_up}",
        "folder": str(folder),
    }


def origin_of(registry: ModelRegistry, version: ModelVersion) -> Origin:
    """Returns what is to be signed of a version's records.

    Raises:
        StorageError: They are damaged or differ from each other, or its run left no lineage.
    """
    home = registry.home
    record = registry.folder(version.sandbox, version.version) / RECORD
    lineage = lineage_file(home, version.run_id)
    model = _require_records(registry, version)
    if model.lineage is None:
        raise StorageError(
            "A version is not packaged whose run left no lineage: it tells whose data is in it",
            where=str(lineage),
            cure="Put the file back from a backup, or run the sandbox again",
        )
    return Origin(
        participants={part.hospital: part.data_digests for part in data_of(model)},
        record_digest=file_digest(record),
        lineage_digest=file_digest(lineage),
    )


def _require_records(registry: ModelRegistry, version: ModelVersion) -> Model:
    model = version_model(registry.home, version.sandbox, version.version)
    if model.doubts:
        raise StorageError(
            f"Version {version.version} of {version.sandbox} is not packaged: its records are not "
            "what they were",
            seen="; ".join(model.doubts),
            cure="Mend what is named, and materialize deployed_model again",
        )
    return model


def _require_weights(package: Package, version: ModelVersion) -> None:
    if package.facts.weights_digest != version.weights_digest:
        raise PackageRefused(
            "The package holds other weights than were registered",
            where=str(package.folder),
            seen=f"{package.facts.weights_digest[:16]} instead of {version.weights_digest[:16]}",
        )
