"""A hospital's machine that is a compute of its own Azure ML workspace, as a roster says it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from itertools import permutations
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import Field, field_validator, model_validator

from fed_assets.federation.data_sources import DATA_FOLDER, Entry, PhantomSource, Source

_NAME = r"^[A-Za-z0-9][A-Za-z0-9_.()-]*$"
_ID = r"^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$"
# No part of the path begins with a dot, as those do that lead out of it.
_FOLDER = r"[A-Za-z0-9_-][A-Za-z0-9_.-]*"
_DATASTORE = rf"^azureml://datastores/[A-Za-z0-9_]+/paths/{_FOLDER}(/{_FOLDER})*/?$"
# How Azure names containers, and accounts in the path, as its emulator has them.
_CONTAINER = r"[a-z0-9]+(-[a-z0-9]+)*"
# A version is named: what runs at a hospital does not change because somebody registers another.
_ENVIRONMENT = (
    r"^azureml:(//registries/[A-Za-z0-9_-]+/environments/[A-Za-z0-9_.-]+/versions/[A-Za-z0-9_.-]+"
    r"|[A-Za-z0-9_.-]+:[A-Za-z0-9_.-]+)$"
)
_PORTS = {"https": 443, "http": 80}
_ON_THIS_MACHINE = frozenset({"127.0.0.1", "localhost", "::1"})

Datastore = Annotated[str, Field(pattern=_DATASTORE)]


class AzureML(Entry):
    """Where a hospital's tasks run as jobs of Azure ML: everything of the hospital's own.

    Attributes:
        subscription: The id of its subscription.
        resource_group: The group that its workspace is in.
        workspace: Its workspace.
        compute: The compute of the workspace that its jobs run on.
        environment: What they run in, with fed_assets installed, `azureml:NAME:VERSION`.
        home: The folder of a datastore that its stores and keys lie in, and nothing else.
        images: The folder of a datastore that its images lie in, which jobs can read alone. The
            roster's `${FED_ASSETS_DATA}` stands for it.
        messages: The URL of the blob container that tasks and answers pass through.
        identity: The client id of the managed identity that jobs act as; left out, it is the
            compute's own.
        start_timeout_seconds: How long a job may wait for its compute.
        silence_timeout_seconds: How long its compute may say nothing before the job is given up.
    """

    subscription: str = Field(pattern=_ID)
    resource_group: str = Field(pattern=_NAME, max_length=90)
    workspace: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{2,32}$")
    compute: str = Field(pattern=_NAME, max_length=32)
    environment: str = Field(pattern=_ENVIRONMENT)
    home: Datastore
    images: Datastore | None = None
    messages: str
    identity: str | None = Field(default=None, pattern=_ID)
    start_timeout_seconds: float = Field(default=1800, gt=0)
    silence_timeout_seconds: float = Field(default=300, gt=0)

    @field_validator("messages")
    @classmethod
    def _is_a_container(cls, url: str) -> str:
        parts = urlsplit(url)
        here = parts.hostname in _ON_THIS_MACHINE
        closed = parts.scheme == "https" or (parts.scheme == "http" and here)
        if not (closed and parts.hostname):
            raise ValueError("messages has to be the https URL of a blob container")
        if parts.query or parts.fragment or parts.username or parts.password:
            # A roster is read by many, and shown.
            raise ValueError("messages has to be a container's URL alone, without a credential")
        names = [name for name in parts.path.lower().split("/") if name]
        if len(names) not in ((1, 2) if here else (1,)):
            raise ValueError("messages has to name the container behind the account's address")
        if url != url.strip() or not all(re.fullmatch(_CONTAINER, name) for name in names):
            raise ValueError(
                "messages has to name a container by lower-case letters, digits and single hyphens"
            )
        # One way to write each, so that two of the same are known to be.
        host = parts.hostname.rstrip(".")
        host = f"[{host}]" if ":" in host else host
        port = "" if parts.port in (None, _PORTS[parts.scheme]) else f":{parts.port}"
        return f"{parts.scheme}://{host}{port}/{'/'.join(names)}"

    @model_validator(mode="after")
    def _home_lies_apart_from_images(self) -> AzureML:
        if self.images is not None and _datastore(self.images) == _datastore(self.home):
            raise ValueError(
                "its `home` lies in the datastore of its `images`, and who may write the one may "
                "write the other: name a datastore of the home's own"
            )
        return self

    @property
    def account_url(self) -> str:
        """Returns the address of the blob account that the messages' container is in."""
        return self.messages.rpartition("/")[0]

    @property
    def container(self) -> str:
        """Returns the name of the messages' container."""
        return self.messages.rpartition("/")[2]


def _datastore(folder: str) -> str:
    """Returns the name of the datastore that a folder lies in; Azure takes no heed of case."""
    return folder.removeprefix("azureml://datastores/").partition("/")[0].lower()


def _workspace(machine: AzureML) -> tuple[str, ...]:
    whole = (machine.subscription, machine.resource_group, machine.workspace)
    return tuple(name.lower() for name in whole)


def require_own_places(machines: Mapping[str, AzureML]) -> None:
    """Raises ValueError where two share messages or a machine, or a home lies in what another uses.

    Datastores and computes are a workspace's: those of one name in two workspaces are two.

    Args:
        machines: By the hospitals' ids.
    """
    for (one, machine), (other, another) in permutations(machines.items(), 2):
        if machine.messages == another.messages:
            raise ValueError(
                f"the `messages` of {one} are those of {other} too, so that each could read what "
                "the other is asked and answers: name a container of each one's own"
            )
        beside = _workspace(machine) == _workspace(another)
        same = machine.identity is not None and machine.identity == another.identity
        if same or (beside and machine.compute.lower() == another.compute.lower()):
            raise ValueError(
                f"the jobs of {one} run as {other}'s do, so that each could open what is the "
                "other's: name a `compute`, and an `identity` if any, of each one's own"
            )
        used = {_datastore(folder) for folder in (another.home, another.images) if folder}
        if beside and _datastore(machine.home) in used:
            raise ValueError(
                f"the `home` of {one} lies in a datastore that {other} uses too, so that one's "
                "machine could open what is the other's: name a datastore of each home's own"
            )


def require_own_images(machine: AzureML, source: Source | None) -> None:
    """Raises ValueError unless these are images that a job on the machine can be given.

    The shares of the public set are cut, and learned from, on the orchestrator's machine.
    """
    if source is None:
        raise ValueError("a hospital with azure_ml needs a `source` of its own")
    if isinstance(source, PhantomSource):
        return
    path = source.path
    if path is not None and (path.parts[0] != DATA_FOLDER or ".." in path.parts):
        raise ValueError(f"in Azure ML, the `path` of its source has to begin with {DATA_FOLDER}")
    if machine.images is None:
        raise ValueError(f"azure_ml needs `images`, the folder that {DATA_FOLDER} stands for there")
