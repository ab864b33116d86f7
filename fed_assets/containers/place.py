"""Which container is a party's own, and how the party proves to Azure who it is.

Both stand in a file of the party's, JSON, that nobody else may read:

    {"url": "https://ACCOUNT.blob.core.windows.net/CONTAINER", "token": "sv=…"}
    {"url": "https://ACCOUNT.blob.core.windows.net/CONTAINER", "identity": "CLIENT_ID"}

`token` is a shared access signature of that container, by its own key or by user delegation.
`identity` is the client id of a managed identity, or empty for the one that azure-identity finds.
"""

from __future__ import annotations

import json
import logging
import os
import stat
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from fed_assets.errors import ContainerRefused, system_reason

if TYPE_CHECKING:
    from azure.storage.blob import ContainerClient

PLACE_FILE = "container.json"
_LOOPBACK = {"127.0.0.1", "localhost", "::1"}
# How long Azure is waited for: to be reached, and for each answer.
TIMES: Mapping[str, Any] = {
    "connection_timeout": 10,
    "read_timeout": 60,
    "retry_total": 3,
    "retry_backoff_factor": 0.4,
}


@dataclass(frozen=True)
class Place:
    """A container, and what opens it.

    Attributes:
        url: The container's, without a token.
        token: A shared access signature; empty where an identity opens it.
        identity: The client id of a managed identity; None where a token opens it.
    """

    url: str
    token: str = field(default="", repr=False)
    identity: str | None = None

    @property
    def account_url(self) -> str:
        """Returns the URL of the account that the container belongs to."""
        return self.url.rpartition("/")[0]

    @property
    def container(self) -> str:
        """Returns the container's name."""
        return self.url.rpartition("/")[2]

    def credential(self) -> Any:
        """Returns what Azure's clients take as a credential."""
        keep_out_of_logs()
        if self.identity is None:
            from azure.core.credentials import AzureSasCredential

            return AzureSasCredential(self.token)
        from azure.identity import DefaultAzureCredential, ManagedIdentityCredential

        if self.identity:
            return ManagedIdentityCredential(client_id=self.identity)
        return DefaultAzureCredential()

    def client(self) -> ContainerClient:
        """Returns Azure's client of the container; nothing is asked yet."""
        from azure.storage.blob import ContainerClient

        return ContainerClient.from_container_url(self.url, self.credential(), **TIMES)


def keep_out_of_logs() -> None:
    """Drops what urllib3 logs of requests, at its lowest level, where it holds a signature.

    A token stands in the address of each request. Azure's own client leaves it out of its logs.
    """
    logger = logging.getLogger("urllib3.connectionpool")
    if _holds_no_signature not in logger.filters:
        logger.addFilter(_holds_no_signature)


def _holds_no_signature(record: logging.LogRecord) -> bool:
    return "sig=" not in record.getMessage()


def read_place(path: Path) -> Place:
    """Returns what a party's file says.

    Raises:
        ContainerRefused: There is none, others may read it, or it does not say a container and one
            way to open it. No message holds a token.
    """
    try:
        record = json.loads(read_own(path))
    except ValueError:
        raise _refused(path, "no JSON") from None
    if not isinstance(record, dict) or not record.keys() <= {"url", "token", "identity"}:
        raise _refused(path, "not an object of url, and token or identity")
    url, token, identity = (record.get(name) for name in ("url", "token", "identity"))
    if not isinstance(url, str) or (fault := _fault_of(url)):
        raise _refused(path, f"url: {fault if isinstance(url, str) else 'no text'}")
    if isinstance(token, str) and "sig=" in token and identity is None:
        return Place(url.rstrip("/"), token=token.lstrip("?"))
    if isinstance(identity, str) and token is None:
        return Place(url.rstrip("/"), identity=identity)
    raise _refused(path, "neither a token with a signature nor an identity, or both")


def write_place(path: Path, place: Place) -> None:
    """Writes a party's file, for its owner alone, whole or not at all.

    Raises:
        ContainerRefused: It cannot be written.
    """
    way = {"token": place.token} if place.identity is None else {"identity": place.identity}
    fresh = path.with_name(f".{path.name}-{os.getpid()}")
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with open(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            json.dump({"url": place.url, **way}, file)
        fresh.replace(path)
    except OSError as error:
        fresh.unlink(missing_ok=True)
        raise _refused(path, system_reason(error)) from None


def read_own(path: Path, refused: Callable[[Path, str], ContainerRefused] | None = None) -> str:
    """Returns what a file holds that nobody but its owner may read.

    Args:
        path: The file.
        refused: Makes the error of it and of what is wrong with it; one that speaks of a party's
            container if left out.

    Raises:
        ContainerRefused: Others may read it, or it cannot be read.
    """
    refused = refused or _refused
    try:
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        with open(os.open(path, flags), encoding="utf-8") as file:
            found = os.fstat(file.fileno())
            # Root gives these files to their owners, and reads the orchestrator's before it is one.
            if not stat.S_ISREG(found.st_mode) or os.geteuid() not in (0, found.st_uid):
                raise refused(path, "it is not this user's own file")
            if found.st_mode & 0o077:
                raise refused(path, f"mode {stat.S_IMODE(found.st_mode):o}: others may read it")
            return file.read()
    except OSError as error:
        raise refused(path, system_reason(error)) from None
    except ValueError:
        raise refused(path, "no text") from None


def fault_of_address(url: str) -> str:
    """Returns why a URL cannot be an address in Azure's storage; nothing where it can.

    What it says never repeats the URL, which may hold a token that somebody pasted.
    """
    try:
        parts = urlsplit(url)
        _ = parts.port  # which is read only now
    except ValueError:
        return "no address"
    if parts.query or parts.fragment or "@" in parts.netloc:
        return "more than an address"
    if parts.scheme != "https" and not (parts.scheme == "http" and parts.hostname in _LOOPBACK):
        return "not https"
    return "" if parts.hostname else "no host"


def _fault_of(url: str) -> str:
    """Returns what is wrong with a container's URL; nothing where it can be used."""
    return fault_of_address(url) or ("" if urlsplit(url).path.strip("/") else "no container")


def _refused(path: Path, seen: str) -> ContainerRefused:
    return ContainerRefused(
        "It cannot be told which container is this party's own, and how it is opened",
        where=str(path),
        seen=seen,
        cure='Put {"url": "https://ACCOUNT.blob.core.windows.net/CONTAINER", "token": "…"} there, '
        "readable by its owner alone (mode 600)",
    )
