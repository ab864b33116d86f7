"""What one asset hands to the next: one JSON file per asset and sandbox, written whole or not."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dagster import ConfigurableIOManagerFactory, InputContext, OutputContext, UPathIOManager

from fed_assets.errors import RunConfigError, StorageError
from fed_assets.resources.whole_files import read_whole, write_whole

if TYPE_CHECKING:
    from upath import UPath

__all__ = ["JsonArtifacts", "JsonIOManager", "read_value", "read_whole", "write_whole"]


class JsonIOManager(UPathIOManager):
    """Keeps values as `<base>/<asset path>/<sandbox>.json`. Values are light: never images."""

    extension = ".json"

    def dump_to_path(self, context: OutputContext, obj: Any, path: UPath) -> None:
        """Writes the value beside its place and moves it in, so that no half file is ever read."""
        write_whole(Path(str(path)), json.dumps(obj, indent=1, allow_nan=False).encode())

    def load_from_path(self, context: InputContext, path: UPath) -> Any:
        """Returns the value that the asset upstream left.

        Raises:
            RunConfigError: it has not been materialized in this sandbox.
            StorageError: the file is damaged.
        """
        try:
            return json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            asset = context.asset_key.to_user_string()
            raise RunConfigError(
                f"The asset {asset} has no value in this sandbox",
                where=context.partition_key,
                cure=f"Materialize {asset} first, or run the job federated_lifecycle.",
            ) from None
        except ValueError:
            asset = context.asset_key.to_user_string()
            raise StorageError(
                f"The value of the asset {asset} is damaged",
                where=str(path),
                cure=f"Materialize {asset} again.",
            ) from None


class JsonArtifacts(ConfigurableIOManagerFactory[JsonIOManager]):
    """The artifact store in a folder of this machine."""

    folder: str

    def create_io_manager(self, context: Any) -> JsonIOManager:
        """Returns the IO manager over the folder."""
        from upath import UPath

        return JsonIOManager(base_path=UPath(self.folder))


def read_value(artifacts: Path, asset: str, *, cure: str) -> dict[str, Any] | None:
    """Returns what an asset last came to; None where it never did.

    Args:
        artifacts: the folder of all values.
        asset: its name; of one with partitions, `<name>/<partition>`.
        cure: what mends a value that is damaged.

    Raises:
        StorageError: the value is damaged.
    """
    return read_whole(
        artifacts / f"{asset}.json", what=f"The value of the asset {asset}", cure=cure
    )
