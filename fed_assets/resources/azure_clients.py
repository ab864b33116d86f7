"""Azure's own clients of one hospital's workspace and container, and the job that is handed in.

Imported when a job is first started: Azure's packages take seconds.
"""

from __future__ import annotations

import logging
import shlex
from typing import Any

from azure.ai.ml import Input, MLClient, Output, command
from azure.ai.ml.entities import Command, ManagedIdentityConfiguration
from azure.core.credentials import TokenCredential
from azure.storage.blob import BlobServiceClient

from fed_assets.containers.place import TIMES, Place
from fed_assets.federation.azure_ml import AzureML

# It warns of classes of its own that nobody here uses.
logging.getLogger("azure.ai.ml._utils._experimental").setLevel(logging.ERROR)
# Told to log all, it logs whole addresses, and with them what opens a container.
logging.getLogger("urllib3.connectionpool").setLevel(logging.INFO)
TASKS = "fed_assets.hospital.azure_job"
HOST = "fed_assets.resources.azure_host"
EXPERIMENT = "fed_assets"
# The service ends a job by itself, where nobody is left to do so; until then we do.
GRACE_SECONDS = 300


def open_workspace(machine: AzureML, credential: TokenCredential) -> MLClient:
    """Returns the client of a hospital's workspace; nothing is asked yet.

    In which of Azure's clouds it is, AZUREML_CURRENT_CLOUD says, as of every program of Azure ML's.
    """
    return MLClient(
        credential,
        machine.subscription,
        machine.resource_group,
        machine.workspace,
        show_progress=False,
        enable_telemetry=False,
        **dict[str, Any](TIMES),
    )


def open_account(place: Place) -> BlobServiceClient:
    """Returns the client of the account that a hospital's messages pass through."""
    return BlobServiceClient(
        place.account_url, credential=place.credential(), **dict[str, Any](TIMES)
    )


def describe_job(
    machine: AzureML,
    hospital: str,
    name: str,
    *,
    program: str,
    task: str,
    timeout_seconds: float,
) -> Command:
    """Returns the job of one task; what the task is about, it finds in the container.

    Args:
        machine: The hospital's.
        hospital: Its id.
        name: The job's name in the workspace.
        program: The module that it runs.
        task: What people see it called.
        timeout_seconds: How long it may run.
    """
    words = ["python", "-m", program, hospital, machine.messages]
    line = " ".join([*map(shlex.quote, words), '"${{outputs.home}}"'])
    inputs = {}
    if machine.images is not None:
        line += ' "${{inputs.images}}"'
        inputs["images"] = Input(type="uri_folder", path=machine.images, mode="ro_mount")
    job = command(
        name=name,
        display_name=f"{hospital}: {task}",
        experiment_name=EXPERIMENT,
        command=line,
        compute=machine.compute,
        environment=machine.environment,
        environment_variables={},
        # Where one of its entries is there, the client adds none about the repository that the
        # orchestrator happens to be in: its address may hold a token, and it is not what runs.
        properties={"azureml.git.dirty": "not told"},
        inputs=inputs,
        outputs={"home": Output(type="uri_folder", path=machine.home, mode="rw_mount")},
        identity=ManagedIdentityConfiguration(client_id=machine.identity),
    )
    job.set_limits(timeout=int(timeout_seconds) + GRACE_SECONDS)
    return job
