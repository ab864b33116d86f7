"""One package per registered version, and the promoted one asked as its users will ask it."""

# No `from __future__ import annotations` here: Dagster reads the annotations of asset functions.

from dataclasses import asdict
from typing import Any

from dagster import (
    AssetExecutionContext,
    AssetsDefinition,
    DataVersion,
    MaterializeResult,
    MetadataValue,
    TableRecord,
)

from fed_assets.assets.failures import clear_failures
from fed_assets.assets.notice import synthetic_notice
from fed_assets.assets.packaging import described, package_version
from fed_assets.assets.partitions import Materialized, chosen_sandbox, lifecycle_asset
from fed_assets.assets.serving_check import promote_and_check
from fed_assets.resources.hospital_runner import LocalHospitalRunner
from fed_assets.resources.model_registry import ModelRegistry
from fed_assets.resources.sandboxes import Sandboxes
from fed_assets.resources.settings import Settings
from fed_assets.serving.package import Package
from fed_assets.serving.smoke import Checked


def build_deployment_asset(settings: Settings) -> AssetsDefinition:
    """Returns the asset `deployed_model`."""
    registry = ModelRegistry(settings.home)

    @lifecycle_asset(group_name="federation", kinds={"onnx", "fastapi"})
    def deployed_model(
        context: AssetExecutionContext,
        sandboxes: Sandboxes,
        hospitals: LocalHospitalRunner,
        registered_model: dict[str, Any],
    ) -> Materialized:
        """The version as it is served: one signed package, with ONNX, safetensors and MONAI bundle.

        Every version is packaged, and each export compared with torch. Where its gates passed, it
        is promoted, and the service of `fed-assets serve` is started and asked about the open test
        images; where it says something else than was registered, the former champion serves again
        and the step fails. Where a gate is closed, nothing changes, and `not_deployed` says why.
        """
        with clear_failures():
            sandbox = chosen_sandbox(context, sandboxes)
            version = registry.version(sandbox.name, registered_model["version"])
            package, made = package_version(version, sandbox, hospitals, registry)
            checked = None
            if registered_model["passed"]:
                checked = promote_and_check(
                    version,
                    package,
                    sandbox,
                    hospitals,
                    registry,
                    by=f"run {context.run.run_id[:8]}",
                )
        closed = [gate["said"] for gate in registered_model["gates"] if not gate["passed"]]
        if closed:
            context.log.warning(f"Version {version.version} is not deployed: {'; '.join(closed)}")
        return MaterializeResult(
            value={
                "sandbox": sandbox.name,
                "version": version.version,
                "deployed": checked is not None,
                "champion": registry.champion(sandbox.name),
                "former": registered_model["champion"],
                "package": described(package),
                "exports": made,
                "check": None if checked is None else asdict(checked),
                "not_deployed": closed,
            },
            data_version=DataVersion(package.digest),
            metadata={
                **synthetic_notice(version.synthetic),
                "version": version.version,
                "deployed": checked is not None,
                **({"not_deployed": "; ".join(closed)} if closed else {}),
                **_of_package(package, made),
                **({} if checked is None else _of_check(checked)),
            },
        )

    return deployed_model


def _of_package(package: Package, made: dict[str, Any] | None) -> dict[str, Any]:
    told: dict[str, Any] = {
        "package": MetadataValue.path(str(package.folder)),
        "package_digest": package.digest,
    }
    if made is not None:
        sizes = [TableRecord({"file": name, "bytes": size}) for name, size in made["sizes"].items()]
        told |= {
            "files": MetadataValue.table(sizes),
            "compared_on": f"{made['images']} images ({made['checked_on']})",
            **{f"{name}_difference": each for name, each in made["differences"].items()},
        }
    return told


def _of_check(checked: Checked) -> dict[str, Any]:
    """Returns what the service's check came to; what could not be asked is left out."""
    return {
        f"checked_{name}": value for name, value in asdict(checked).items() if value is not None
    }
