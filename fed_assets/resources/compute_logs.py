"""What a run's steps print, in the orchestrator's container: by dagster-azure's log manager.

That one knows an account by its name alone; here an address and what opens it come from the file of
the orchestrator's container, each time that they are wanted, and never from `dagster.yaml`.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dagster import Field, StringSource
from dagster._core.storage.local_compute_log_manager import IO_TYPE_EXTENSION
from dagster_azure.blob import AzureBlobComputeLogManager

from fed_assets.containers.place import read_place
from fed_assets.containers.refusals import asking
from fed_assets.errors import ContainerRefused

if TYPE_CHECKING:
    from azure.storage.blob import ContainerClient
    from dagster._core.storage.compute_log_manager import ComputeIOType
    from dagster._serdes import ConfigurableClassData

PREFIX = "logs"
log = logging.getLogger(__name__)


class ContainerComputeLogs(AzureBlobComputeLogManager):
    """Keeps logs in the folder that Dagster writes them to, and in the orchestrator's container.

    Where the container cannot be used, a run goes on: its logs stay in the folder.

    Args:
        place: The file that says which container it is.
        local_dir: The folder.
        inst_data: Dagster's own.
    """

    def __init__(
        self, place: str, local_dir: str, inst_data: ConfigurableClassData | None = None
    ) -> None:
        self._place_file = Path(place)
        super().__init__(
            storage_account="unused",
            container="unused",
            access_key_or_sas_token="unused",
            local_dir=local_dir,
            prefix=PREFIX,
            inst_data=inst_data,
        )

    @classmethod
    def config_type(cls) -> dict[str, Any]:
        """Returns what `dagster.yaml` says of it: two paths."""
        return {"place": Field(StringSource), "local_dir": Field(StringSource)}

    @classmethod
    def from_config_value(
        cls, inst_data: ConfigurableClassData, config_value: Mapping[str, Any]
    ) -> ContainerComputeLogs:
        """Returns what `dagster.yaml` asks for."""
        return cls(inst_data=inst_data, **config_value)

    @property
    def _container_client(self) -> ContainerClient:
        return read_place(self._place_file).client()

    @_container_client.setter
    def _container_client(self, unused: ContainerClient) -> None:
        """Takes no other one."""

    def download_url_for_type(self, log_key: Sequence[str], io_type: ComputeIOType) -> None:
        """Returns no address: a token would stand in it."""

    def display_path_for_type(self, log_key: Sequence[str], io_type: ComputeIOType) -> str:
        """Returns where a log lies, for a person to read."""
        if self.has_local_file(log_key, io_type):
            return str(
                self.local_manager.get_captured_local_path(log_key, IO_TYPE_EXTENSION[io_type])
            )
        return self._blob_key(log_key, io_type)

    def cloud_storage_has_logs(
        self, log_key: Sequence[str], io_type: ComputeIOType, partial: bool = False
    ) -> bool:
        """Returns whether the container has a log; not, where it cannot be used."""
        try:
            with asking(str(self._place_file)):
                return bool(super().cloud_storage_has_logs(log_key, io_type, partial))
        except ContainerRefused:
            return False

    def _on_capture_complete(self, log_key: Sequence[str]) -> None:
        """Takes a log to the container, and removes it from the folder only if that went well."""
        try:
            with asking(str(self._place_file)):
                super()._on_capture_complete(log_key)
        except ContainerRefused as refusal:
            log.warning("A step's log stays on this machine. %s", refusal)
