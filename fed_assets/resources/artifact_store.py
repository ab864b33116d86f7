"""What one asset hands to the next: one JSON file per asset and sandbox, written whole or not.

It lies in a folder of this machine, or in the orchestrator's container.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dagster import ConfigurableIOManagerFactory, InputContext, OutputContext, UPathIOManager

from fed_assets.containers.place import Place
from fed_assets.containers.refusals import asking
from fed_assets.errors import RunConfigError, StorageError
from fed_assets.resources.home import Home, StoredOn
from fed_assets.resources.orchestrator_container import (
    fetch_files,
    keep_files,
    own_place,
    values_in,
)
from fed_assets.resources.whole_files import read_whole, write_whole

if TYPE_CHECKING:
    from upath import UPath

__all__ = [
    "ContainerArtifacts",
    "JsonArtifacts",
    "JsonIOManager",
    "read_value",
    "read_whole",
    "write_whole",
]


class JsonIOManager(UPathIOManager):
    """Keeps values as `<base>/<asset path>/<sandbox>.json`. Values are light: never images."""

    extension = ".json"

    def dump_to_path(self, context: OutputContext, obj: Any, path: UPath) -> None:
        """Writes the value beside its place and moves it in, so that no half file is ever read."""
        write_whole(Path(str(path)), written(obj))

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


class ContainerIOManager(JsonIOManager):
    """Keeps values as files of the orchestrator's container, and the home's files beside them.

    Args:
        home: The home.
        place: The container, and what opens it.
    """

    def __init__(self, home: Home, place: Place) -> None:
        self._home, self._place = home, place
        super().__init__(base_path=values_in(place))

    def make_directory(self, path: UPath) -> None:
        """Does nothing: a container has no folders."""

    def handle_output(self, context: OutputContext, obj: Any) -> None:
        """Keeps a value, and before it the files that came to be beside it.

        Raises:
            ContainerRefused: The container cannot be used; the files stay here.
        """
        keep_files(self._home)
        with asking(self._place.url):
            super().handle_output(context, obj)

    def load_input(self, context: InputContext) -> Any:
        """Returns what the asset upstream left.

        Raises:
            RunConfigError: It has not been materialized in this sandbox.
            StorageError: Its value is damaged, or the container cannot be used.
        """
        with asking(self._place.url):
            return super().load_input(context)

    def dump_to_path(self, context: OutputContext, obj: Any, path: UPath) -> None:
        """Writes the value, which Azure shows whole or not at all."""
        path.write_bytes(written(obj))


class ContainerArtifacts(ConfigurableIOManagerFactory[JsonIOManager]):
    """The artifact store in the orchestrator's container.

    What opens the container stands in a file of the home's, and in no configuration.
    """

    home_folder: str

    def create_io_manager(self, context: Any) -> JsonIOManager:
        """Returns the IO manager, after bringing the files that another machine left.

        Raises:
            ContainerRefused: The container cannot be used.
        """
        home = Home(Path(self.home_folder), StoredOn.BLOB)
        fetch_files(home)
        return ContainerIOManager(home, own_place(home))


class JsonArtifacts(ConfigurableIOManagerFactory[JsonIOManager]):
    """The artifact store in a folder of this machine."""

    folder: str

    def create_io_manager(self, context: Any) -> JsonIOManager:
        """Returns the IO manager over the folder."""
        from upath import UPath

        return JsonIOManager(base_path=UPath(self.folder))


def artifacts_of(home: Home) -> ConfigurableIOManagerFactory[JsonIOManager]:
    """Returns the artifact store of a home."""
    if home.on_containers:
        return ContainerArtifacts(home_folder=str(home.root))
    return JsonArtifacts(folder=str(home.artifacts))


def written(value: Any) -> bytes:
    """Returns a value as it stands in its file."""
    return json.dumps(value, indent=1, allow_nan=False).encode()


def read_value(home: Home, asset: str, *, cure: str) -> dict[str, Any] | None:
    """Returns what an asset last came to; None where it never did.

    Args:
        home: where.
        asset: its name; of one with partitions, `<name>/<partition>`.
        cure: what mends a value that is damaged.

    Raises:
        StorageError: the value is damaged, or the container cannot be used.
    """
    what = f"The value of the asset {asset}"
    if not home.on_containers:
        return read_whole(home.artifacts / f"{asset}.json", what=what, cure=cure)
    place = own_place(home)
    with asking(place.url):
        return read_whole(values_in(place) / f"{asset}.json", what=what, cure=cure)
