"""What one asset hands to the next: one JSON file per asset and sandbox, written whole or not."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dagster import ConfigurableIOManagerFactory, InputContext, OutputContext, UPathIOManager

from fed_assets.errors import RunConfigError, StorageError

if TYPE_CHECKING:
    from upath import UPath


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


def read_whole(path: Path, *, what: str, cure: str) -> dict[str, Any] | None:
    """Returns the JSON object that a file holds; None where there is no such file.

    Args:
        path: the file, as `write_whole` wrote it.
        what: how a message names its content.
        cure: what mends it where it is damaged.

    Raises:
        StorageError: it holds no JSON.
    """
    try:
        content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except ValueError:
        raise StorageError(f"{what} is damaged", where=str(path), cure=cure) from None
    return content


def read_value(artifacts: Path, asset: str, *, cure: str) -> dict[str, Any] | None:
    """Returns what an unpartitioned asset last came to; None where it never did.

    Args:
        artifacts: the folder of all values.
        asset: its name.
        cure: what mends a value that is damaged.

    Raises:
        StorageError: the value is damaged.
    """
    return read_whole(
        artifacts / f"{asset}.json", what=f"The value of the asset {asset}", cure=cure
    )


def write_whole(path: Path, content: bytes) -> None:
    """Writes a file, readable by its owner alone, so that it is there whole or not at all.

    Raises:
        StorageError: it cannot be written; what stood there before stands there still.
    """
    partial = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with open(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(content)
        partial.replace(path)
    except OSError as error:
        what = "The disk is full" if error.errno == errno.ENOSPC else "A file cannot be written"
        raise StorageError(what, where=str(path.parent), seen=error.strerror or "") from None
    finally:
        with contextlib.suppress(OSError):  # it is gone already, or its folder is none
            partial.unlink()
