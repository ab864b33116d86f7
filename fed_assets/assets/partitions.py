"""Every lifecycle asset is partitioned by sandbox; what compares them is not."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeAlias, cast

from dagster import (
    AssetExecutionContext,
    AssetsDefinition,
    MaterializeResult,
    StaticPartitionsDefinition,
    asset,
)

from fed_assets.errors import RunConfigError
from fed_assets.resources.sandboxes import Sandboxes
from fed_assets.sandboxes.presets import SANDBOX_NAMES
from fed_assets.sandboxes.sandbox import Sandbox

SANDBOX_PARTITIONS = StaticPartitionsDefinition(list(SANDBOX_NAMES))

if TYPE_CHECKING:
    Materialized: TypeAlias = MaterializeResult[Any]
else:
    Materialized = MaterializeResult  # Dagster knows the bare class alone in an annotation

Compute: TypeAlias = Callable[..., Materialized]


def lifecycle_asset(**declaration: Any) -> Callable[[Compute], AssetsDefinition]:
    """Returns Dagster's decorator `asset`, for an asset of one sandbox at a time."""
    return unpartitioned_asset(partitions_def=SANDBOX_PARTITIONS, **declaration)


def unpartitioned_asset(**declaration: Any) -> Callable[[Compute], AssetsDefinition]:
    """Returns Dagster's decorator `asset`, for one that is not of one sandbox.

    The type is said here, because Dagster takes an asset that returns a MaterializeResult for one
    without a value.
    """
    declare = asset(dagster_type=Any, **declaration)
    return cast("Callable[[Compute], AssetsDefinition]", declare)


def chosen_sandbox(context: AssetExecutionContext, sandboxes: Sandboxes) -> Sandbox:
    """Returns the sandbox that the run's partition names: what every asset asks for first.

    Raises:
        RunConfigError: the run has no partition.
        SandboxError: the sandbox's YAML cannot be used.
        UnenforcedControl: it declares a control that this version does not enforce.
    """
    if not context.has_partition_key:
        raise RunConfigError(
            "The run names no sandbox, and every asset is partitioned by sandbox",
            cure='Add --tags \'{"dagster/partition": "minimal"}\'; the sandboxes are '
            + ", ".join(SANDBOX_NAMES),
        )
    return sandboxes.enforced(context.partition_key)
