"""A hospital in Azure ML, as far as this machine can be that: the double, Azurite, a roster."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from fed_assets.containers.place import write_place
from fed_assets.federation.azure_ml import AzureML
from fed_assets.resources.azure_runner import AzureMLHospitalRunner
from fed_assets_tests.azure_ml.service import AzureMLDouble, serving
from fed_assets_tests.azure_ml.tls import make_certificate
from fed_assets_tests.azure_storage import Azurite

HOSPITAL = "north"
SUBSCRIPTION = "00000000-0000-4000-8000-000000000001"
# What the clients of Azure's and the double's cloud read and write.
CLOUD = ("AZUREML_CURRENT_CLOUD", "ARM_CLOUD_METADATA_URL")
# Credentials that a developer may have, and that must not reach the double.
OTHER_CREDENTIALS = ("AZURE_CLIENT_ID", "AZURE_CLIENT_SECRET", "AZURE_TENANT_ID", "MSI_ENDPOINT")


@dataclass
class Setting:
    """One hospital in Azure ML.

    Attributes:
        double: Its workspace.
        azurite: Where the container of its messages is.
        party: Whose container it is there.
        place: What the roster says of it.
        keys: The orchestrator's folder of what opens containers.
        home: The hospital's own folder, on its machine.
        images: The folder of its images there.
    """

    double: AzureMLDouble
    azurite: Azurite
    party: str
    place: AzureML
    keys: Path
    home: Path
    images: Path

    def runner(
        self, *, task_timeout_seconds: float = 100, **changes: object
    ) -> AzureMLHospitalRunner:
        """Returns the door to the hospital; `changes` are of what the roster says."""
        place = AzureML.model_validate(self.place.model_dump() | changes)
        return AzureMLHospitalRunner(
            {HOSPITAL: place},
            self.keys,
            task_timeout_seconds=task_timeout_seconds,
            poll_seconds=0.2,
        )


@contextmanager
def azure_setting(
    folder: Path, azurite: Azurite, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Setting]:
    """Yields it while it serves; this process's Azure clients find it, and nothing else."""
    certificate, key = make_certificate(folder)
    image = folder / "image"
    write_command(image, f'exec {sys.executable} "$@"')
    workspace = (
        f"/subscriptions/{SUBSCRIPTION}/resourceGroups/north-rg/providers/"
        "Microsoft.MachineLearningServices/workspaces/north-ws"
    )
    double = AzureMLDouble(
        folder,
        workspace=workspace,
        computes=("north-cpu",),
        environments=("fed-assets/versions/7",),
        trusted=certificate,
        image=image,
    )
    with serving(double, certificate, key):
        for name in (*CLOUD, *OTHER_CREDENTIALS):
            monkeypatch.delenv(name, raising=False)
        for name, value in double.client_environment().items():
            monkeypatch.setenv(name, value)
        party = azurite.party()
        opened = azurite.issue(party).own
        home = double.datastore("north_store", "fed_assets")
        keys = folder / "keys"
        for file in (keys / f"{HOSPITAL}.json", home / "keys" / "messages.json"):
            write_place(file, opened)
        place = AzureML(
            subscription=SUBSCRIPTION,
            resource_group="north-rg",
            workspace="north-ws",
            compute="north-cpu",
            environment="azureml:fed-assets:7",
            home="azureml://datastores/north_store/paths/fed_assets",
            images="azureml://datastores/north_images/paths/xrays",
            messages=opened.url,
        )
        images = double.datastore("north_images", "xrays")
        images.mkdir(parents=True)
        yield Setting(double, azurite, party, place, keys, home, images)
    os.environ.pop("AZUREML_CURRENT_CLOUD", None)  # Azure's client sets it by itself


def write_command(image: Path, script: str) -> None:
    """Puts a `python` into an image."""
    image.mkdir(exist_ok=True)
    (image / "python").write_text(f"#!/bin/bash\n{script}\n", encoding="utf-8")
    (image / "python").chmod(0o755)
