"""A run as a job of Azure Container Apps: what Azure's own SDK asks for by the settings."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self

import pytest
import yaml
from azure.core.credentials import AccessToken
from azure.core.pipeline.policies import SansIOHTTPPolicy
from azure.mgmt.appcontainers import ContainerAppsAPIClient
from dagster import DagsterInstance, DagsterInvalidConfigError, job, op
from dagster._core.code_pointer import ModuleCodePointer
from dagster._core.instance.config import dagster_instance_config
from dagster._core.instance.ref import InstanceRef
from dagster._core.launcher import LaunchRunContext
from dagster._core.launcher.base import RunLauncher
from dagster._core.origin import JobPythonOrigin, RepositoryPythonOrigin
from dagster_azure.container_apps import launcher as launcher_module

from fed_assets.resources.container_apps import HomeRunLauncher
from fed_assets_tests.places import PROJECT

SETTINGS = PROJECT / "deploy" / "container_apps" / "dagster.yaml"
IMAGE = "fedassets.azurecr.io/fed-assets:0.1.0"
GIVEN = {
    "AZURE_SUBSCRIPTION_ID": "00000000-0000-0000-0000-000000000001",
    "AZURE_CLIENT_ID": "00000000-0000-0000-0000-000000000002",
    "FED_ASSETS_DATABASE_HOST": "db.postgres.database.azure.com",
    "FED_ASSETS_DATABASE_USER": "fed-assets",
    "FED_ASSETS_ENVIRONMENT_ID": "/subscriptions/1/environments/fed-assets",
    "FED_ASSETS_IDENTITY_ID": "/subscriptions/1/userAssignedIdentities/fed-assets",
    "FED_ASSETS_REGION": "westeurope",
    "FED_ASSETS_RESOURCE_GROUP": "fed-assets",
    "FED_ASSETS_HOME": "/var/lib/fed_assets",
    "FED_ASSETS_INSTANCE": "/etc/fed_assets/dagster.yaml",
    "DAGSTER_HOME": "/var/lib/fed_assets/dagster",
}


class NoToken:
    """A credential that is never asked."""

    def get_token(self, *_: str, **__: Any) -> AccessToken:
        raise AssertionError("no token is needed here")


class Azure:
    """Takes jobs as Azure's management service does, and keeps what it was asked."""

    def __init__(self) -> None:
        self.asked: list[dict[str, Any]] = []
        asked = self.asked

        class Takes(BaseHTTPRequestHandler):
            def answer(self) -> None:
                content = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                path, _, query = self.path.partition("?")
                assert "api-version=" in query
                body = json.loads(content) if content else None
                asked.append({"method": self.command, "path": path, "body": body})
                made = self.command == "PUT"
                told = (body | {"properties": {"provisioningState": "Succeeded"}}) if made else {}
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.end_headers()
                self.wfile.write(json.dumps(told).encode())

            do_PUT = do_POST = answer

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Takes)
        self._thread = threading.Thread(target=self._server.serve_forever)
        self.address = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


@op
def nothing() -> None:
    """Does nothing."""


@job
def lifecycle() -> None:
    """Stands for a job: the launcher needs its name alone."""
    nothing()


def launcher_of(folder: Path, settings: dict[str, Any]) -> RunLauncher:
    """Returns the launcher that Dagster makes of settings."""
    (folder / "dagster.yaml").write_text(yaml.safe_dump(settings))
    dagster_instance_config(str(folder))
    data = InstanceRef.from_dir(str(folder)).run_launcher_data
    assert data is not None
    launcher = data.rehydrate(as_type=RunLauncher)
    assert isinstance(launcher, HomeRunLauncher)
    return launcher


@pytest.fixture
def settings(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    for name, value in GIVEN.items():
        monkeypatch.setenv(name, value)
    read: dict[str, Any] = yaml.safe_load(SETTINGS.read_text())
    return read


@pytest.fixture
def azure(monkeypatch: pytest.MonkeyPatch) -> Iterator[Azure]:
    """Has the SDK's real client call what answers here instead of Azure, without a token."""
    with Azure() as azure:

        def connect(_: object, subscription: str) -> ContainerAppsAPIClient:
            return ContainerAppsAPIClient(
                NoToken(),
                subscription,
                base_url=azure.address,
                authentication_policy=SansIOHTTPPolicy(),
                polling_interval=0,
            )

        monkeypatch.setattr(launcher_module, "ContainerAppsAPIClient", connect)
        yield azure


def test_a_run_finds_the_home_the_settings_and_no_secret(
    settings: dict[str, Any], azure: Azure, tmp_path: Path
) -> None:
    origin = RepositoryPythonOrigin(
        executable_path="/opt/fed_assets/bin/python",
        code_pointer=ModuleCodePointer("fed_assets", "defs", None),
        container_image=IMAGE,
    )
    home, place = tmp_path / "home", tmp_path / "place"
    home.mkdir()
    place.mkdir()
    launcher = launcher_of(place, settings)
    with DagsterInstance.local_temp(str(home)) as instance:
        launcher.register_instance(instance)
        for _ in range(2):
            run = instance.create_run_for_job(
                lifecycle, job_code_origin=JobPythonOrigin("federated_lifecycle", origin)
            )
            launcher.launch_run(LaunchRunContext(run, workspace=None))
    assert [each["method"] for each in azure.asked] == ["PUT", "POST"] * 2
    for asked in (azure.asked[0], azure.asked[2]):
        assert asked["path"].startswith(
            f"/subscriptions/{GIVEN['AZURE_SUBSCRIPTION_ID']}/resourceGroups/fed-assets/"
            "providers/Microsoft.App/jobs/dagster-run-"
        )
        template = asked["body"]["properties"]["template"]
        assert template["volumes"] == [
            {"name": "home", "storageType": "NfsAzureFile", "storageName": "home"}
        ]
        (container,) = template["containers"]
        mount = {"volumeName": "home", "mountPath": "/var/lib/fed_assets"}
        assert container["volumeMounts"] == [mount]
        assert container["image"] == IMAGE
        assert {each["name"]: each["value"] for each in container["env"]} == GIVEN


def test_without_a_share_for_the_home_it_is_refused(
    settings: dict[str, Any], tmp_path: Path
) -> None:
    del settings["run_launcher"]["config"]["home_storage"]
    with pytest.raises(DagsterInvalidConfigError, match="home_storage"):
        launcher_of(tmp_path, settings)
