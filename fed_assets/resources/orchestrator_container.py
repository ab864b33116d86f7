"""The orchestrator's own container: what assets hand on, and the files that belong to it.

Values go there by an IO manager over adlfs. Beside each value that is written, the files that came
to be meanwhile go there too: weights, reports, records, Pipes messages. A home on another machine
gets them before its first run. Registered versions stay on disk: they go with MLflow's tables.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from fed_assets.containers.container import Container
from fed_assets.containers.folder_copy import FolderCopy, Moved
from fed_assets.containers.place import Place, keep_out_of_logs, read_place
from fed_assets.containers.refusals import asking
from fed_assets.resources.home import COORDINATOR, Home

if TYPE_CHECKING:
    from dagster_azure.blob import AzureBlobStorageResource
    from upath import UPath

FILES, VALUES = "files/", "values"
# What lasts of a home beside values; never a key, a kit, or what is a hospital's.
_PATTERNS = (
    *("artifacts/**/*", "lineage/**/*"),
    *("federations/*/*/outbox/**/*", "federations/*/*/pipes-messages.jsonl"),
    *("withdrawn/*", "revoked.json"),
)


def own_place(home: Home) -> Place:
    """Returns which container is the orchestrator's, and what opens it.

    Raises:
        ContainerRefused: That cannot be told.
    """
    return read_place(home.container(COORDINATOR))


def values_of(home: Home) -> Path | UPath:
    """Returns where assets' values lie: in the home, or in the orchestrator's container.

    Raises:
        ContainerRefused: It cannot be told which that is.
    """
    return values_in(own_place(home)) if home.on_containers else home.artifacts


def values_in(place: Place) -> UPath:
    """Returns where values lie in a container, as a path over adlfs."""
    from upath import UPath

    host = urlsplit(place.account_url).netloc
    opened: dict[str, Any] = {"anon": False, "account_host": host}
    opened["account_name"] = host.partition(".")[0]
    if place.identity:
        from azure.identity.aio import ManagedIdentityCredential

        opened["credential"] = ManagedIdentityCredential(client_id=place.identity)
    elif place.identity is None:
        # Of all ways to say it, this one alone takes an account's URL as it is.
        said = f"BlobEndpoint={place.account_url};SharedAccessSignature={place.token}"
        opened = {"connection_string": said}
    values: UPath = UPath(f"abfs://{place.container}/{VALUES}", use_listings_cache=False, **opened)
    return values


def fetch_files(home: Home) -> Moved:
    """Brings the files that the container has and the home has not.

    Raises:
        ContainerRefused: The container cannot be used.
        StorageError: A file cannot be written.
    """
    return _moved(home, FolderCopy.fetch)


def keep_files(home: Home) -> Moved:
    """Takes to the container the home's files that came to be, or were changed.

    Raises:
        ContainerRefused: The container cannot be used; the files stay here.
    """
    return _moved(home, FolderCopy.keep)


def _moved(home: Home, move: Callable[[FolderCopy], Moved]) -> Moved:
    place = own_place(home)
    home.artifacts.mkdir(mode=0o700, parents=True, exist_ok=True)
    with (
        asking(place.url),
        _resource(place).get_client() as service,
        service.get_container_client(place.container) as client,
    ):
        copy = FolderCopy(
            home.root, Container(place, client), FILES, lambda: _files(home), own=home.artifacts
        )
        return move(copy)


def _resource(place: Place) -> AzureBlobStorageResource:
    """Returns dagster-azure's resource of the account; it is in no definitions, nor its token."""
    from dagster_azure.blob import (
        AzureBlobStorageDefaultCredential,
        AzureBlobStorageResource,
        AzureBlobStorageSASTokenCredential,
    )

    keep_out_of_logs()
    if place.identity is None:
        token = AzureBlobStorageSASTokenCredential(token=place.token)
        return AzureBlobStorageResource(account_url=place.account_url, credential=token)
    which = {"managed_identity_client_id": place.identity} if place.identity else {}
    return AzureBlobStorageResource(
        account_url=place.account_url, credential=AzureBlobStorageDefaultCredential(kwargs=which)
    )


def _files(home: Home) -> list[Path]:
    found = dict.fromkeys(path for each in _PATTERNS for path in sorted(home.root.glob(each)))
    return [
        path
        for path in found
        if not path.name.startswith(".") and path.is_file() and not path.is_symlink()
    ]
