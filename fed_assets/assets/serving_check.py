"""A promoted version is asked as its users will ask it, and taken back where it fails."""

from __future__ import annotations

import base64
from typing import IO

from fed_assets.errors import DeploymentFailed, FedAssetsError, PromotionRefused
from fed_assets.registry.version import ModelVersion
from fed_assets.resources.hospital_runner import COORDINATOR, LocalHospitalRunner
from fed_assets.resources.model_registry import ModelRegistry
from fed_assets.sandboxes.sandbox import Sandbox
from fed_assets.serving.package import Package
from fed_assets.serving.server import ModelServer
from fed_assets.serving.smoke import Checked, Expected, check_service

MOST_IMAGES = 1000
WHY = "every gate was passed, and its package is genuine"


def promote_and_check(
    version: ModelVersion,
    package: Package,
    sandbox: Sandbox,
    hospitals: LocalHospitalRunner,
    registry: ModelRegistry,
    *,
    by: str,
    log: IO[bytes] | None = None,
) -> Checked:
    """Promotes a version, and asks the real service about open images; returns what it came to.

    Whatever goes wrong after the promotion, an interruption too, the former champion serves again,
    or none where there was none.

    Args:
        version: The version.
        package: Its package.
        sandbox: Its sandbox.
        hospitals: Among them the coordinator, who has the open images.
        registry: What promotes it.
        by: Who does so.
        log: Where the service says what it serves and what it refuses.

    Raises:
        PromotionRefused: It may not serve as things stand.
        DeploymentFailed: The service did not start, or says something else than was registered.
        StorageError: The registry cannot be reached.
    """
    expected = _expected(version, package, sandbox, hospitals, registry)
    registry.promote(sandbox.name, version.version, by, WHY)
    try:
        with ModelServer(
            registry.home.models(sandbox.name),
            registry.home.models_key.with_suffix(".pub"),
            sandbox=sandbox.name,
            champion=lambda: registry.champion(sandbox.name),
            barred=lambda: registry.never_to_serve(sandbox.name),
            workers=1,
            told=log,
        ) as server:
            server.wait_ready(version.version)
            return check_service(server.address, expected)
    except BaseException as error:
        said = str(error) if isinstance(error, FedAssetsError) else type(error).__name__
        _take_back(version, sandbox, registry, by=by, said=said)
        if isinstance(error, FedAssetsError):
            raise _failed(version, sandbox, registry, error) from None
        raise


def _take_back(
    version: ModelVersion, sandbox: Sandbox, registry: ModelRegistry, *, by: str, said: str
) -> None:
    try:
        why = f"its check failed: {said}"[:1000]
        registry.rollback(sandbox.name, by, why, of=version.version)
    except FedAssetsError as also:
        moved_on = isinstance(also, PromotionRefused)
        if moved_on and registry.champion(sandbox.name) != version.version:
            return  # another version has come to serve meanwhile, and goes on
        raise DeploymentFailed(
            f"Version {version.version} of {sandbox.name} fails its check and could not be taken "
            "back: it serves",
            seen=f"{said} {also}",
            cure=f"`fed-assets models rollback {sandbox.name} --by NAME --because TEXT`",
        ) from None


def _failed(
    version: ModelVersion, sandbox: Sandbox, registry: ModelRegistry, error: FedAssetsError
) -> DeploymentFailed:
    now = registry.champion(sandbox.name)
    serves = "none serves" if now is None else f"version {now} serves"
    return DeploymentFailed(
        f"Version {version.version} of {sandbox.name} was taken back, and {serves}",
        where=error.where,
        seen=f"{error.what}: {error.seen}".rstrip(": "),
        cure=error.cure,
    )


def _expected(
    version: ModelVersion,
    package: Package,
    sandbox: Sandbox,
    hospitals: LocalHospitalRunner,
    registry: ModelRegistry,
) -> Expected:
    asked = {
        "weights": str(registry.weights(sandbox.name, version.version)),
        "network": dict(version.network),
        "most": MOST_IMAGES,
    }
    found = hospitals.ask(sandbox, COORDINATOR, "open_test_images", asked)
    whole = bool(found["pictures"]) and len(found["pictures"]) == found["of"]
    return Expected(
        facts=package.facts,
        pictures=[base64.b64decode(each) for each in found["pictures"]],
        labels=found["labels"],
        probabilities=found["probabilities"],
        accuracy=version.figure("test", "accuracy") if whole else None,
    )
