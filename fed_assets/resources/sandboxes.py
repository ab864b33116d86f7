"""The door to sandboxes: a partition's name goes in, its enforced controls come out."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from dagster import ConfigurableResource

from fed_assets.errors import FedAssetsError
from fed_assets.resources.earlier_runs import PARTITION_TAG
from fed_assets.sandboxes.enforcement import require_enforced
from fed_assets.sandboxes.presets import SHIPPED_CONFIGURABLE, find_sandbox
from fed_assets.sandboxes.sandbox import Sandbox


def sandbox_of(tags: Mapping[str, str], configurable: Path) -> Sandbox | None:
    """Returns the sandbox of a run with these tags; None for one that every asset refuses."""
    with suppress(FedAssetsError):
        name = tags.get(PARTITION_TAG, "")
        return require_enforced(find_sandbox(name, configurable=configurable))
    return None


class Sandboxes(ConfigurableResource[Any]):
    """The five sandboxes, the configurable one from a YAML file."""

    configurable: str = str(SHIPPED_CONFIGURABLE)

    def enforced(self, name: str) -> Sandbox:
        """Returns the sandbox of that name.

        Raises:
            SandboxError: there is none, or its YAML cannot be used.
            UnenforcedControl: it declares a control that this version does not enforce.
        """
        return require_enforced(find_sandbox(name, configurable=Path(self.configurable)))
