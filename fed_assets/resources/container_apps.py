"""Runs as jobs of Azure Container Apps, each with the home mounted.

dagster-azure's own launcher starts a job without any volume: a run would find an empty home, and
what it wrote there, keys and ledgers of privacy budgets among it, would be gone with it.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any, Self

from azure.mgmt.appcontainers.models import Job, JobTemplate, StorageType, Volume, VolumeMount
from dagster import Field, StringSource
from dagster._serdes import ConfigurableClassData
from dagster_azure.container_apps import AcaRunLauncher

HOME = "home"
OPTIONAL = ("env_vars", "run_resources", "identity_id", "run_job_replica_timeout")


class HomeRunLauncher(AcaRunLauncher):
    """dagster-azure's launcher of container apps' jobs, with the home in each.

    Args:
        home_storage: The name that the environment knows the share of the home by, an NFS one:
            SMB keeps neither owners nor modes, and keys are their owner's alone.
        home: The absolute path at which runs find it.
    """

    def __init__(self, *, home_storage: str, home: str, **known: Any) -> None:
        super().__init__(**known)
        self._volume = Volume(
            name=HOME, storage_type=StorageType.NFS_AZURE_FILE, storage_name=home_storage
        )
        self._mount = VolumeMount(volume_name=HOME, mount_path=home)

    @classmethod
    def config_type(cls) -> Mapping[str, Any]:
        """Returns the settings that it takes in dagster.yaml."""
        return {
            **super().config_type(),
            "home_storage": Field(StringSource, description="The environment's name of the share."),
            "home": Field(StringSource, description="The path at which runs find the home."),
        }

    @classmethod
    def from_config_value(
        cls, inst_data: ConfigurableClassData, config_value: Mapping[str, Any]
    ) -> Self:
        """Returns it as dagster.yaml describes it."""
        known: dict[str, Any] = {**dict.fromkeys(OPTIONAL), **config_value}
        known.pop("server_resources", None)  # of Dagster's own cloud
        return cls(inst_data=inst_data, **known)

    def _get_client(self) -> Any:
        # The SDK has no other place at which what the launcher asks for can be added to.
        client = super()._get_client()
        return SimpleNamespace(
            jobs=_JobsWithVolume(client.jobs, self._volume, self._mount),
            jobs_executions=client.jobs_executions,
        )


class _JobsWithVolume:
    """The SDK's jobs, of which each that is made gets a volume."""

    def __init__(self, jobs: Any, volume: Volume, mount: VolumeMount) -> None:
        self._jobs, self._volume, self._mount = jobs, volume, mount

    def __getattr__(self, name: str) -> Any:
        return getattr(self._jobs, name)

    def begin_create_or_update(self, group: str, name: str, job: Job) -> Any:
        """Has a job made, with the volume in each of its containers."""
        template = job.template or JobTemplate()
        template.volumes = [self._volume]
        for container in template.containers or []:
            container.volume_mounts = [self._mount]
        return self._jobs.begin_create_or_update(group, name, job)
