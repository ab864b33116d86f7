"""What a job of Azure ML is given, and the one answer that it gives: through Pipes, in a container.

A job acts for one hospital, in a home that is that hospital's and nobody else's.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from fed_assets.containers.earlier_jobs import take_back
from fed_assets.containers.place import TIMES, Place, read_place
from fed_assets.errors import ContainerRefused, FedAssetsError, IdentityRefused, WorkerFailed

if TYPE_CHECKING:
    from azure.storage.blob import BlobServiceClient

# What a job's one custom message is called, and its only entry.
ANSWER = "answer"
# Beside the stores of a home, where its container is opened by a token and not by an identity.
MESSAGES_FILE = PurePosixPath("keys/messages.json")
OWNER = "hospital"  # the file in a home that says whose it is
USAGE = "HOSPITAL MESSAGES HOME [IMAGES]"
_FLUSH_SECONDS = 1.0


@dataclass(frozen=True)
class Machine:
    """What a hospital's job has been given.

    Attributes:
        hospital: Its id.
        home: The folder of its stores and keys.
        images: The folder of its images, if it has any.
    """

    hospital: str
    home: Path
    images: Path | None = None

    def require_own(self) -> None:
        """Makes a new home this hospital's, and its files this job's.

        Raises:
            IdentityRefused: It is another's.
        """
        self.home.mkdir(mode=0o700, parents=True, exist_ok=True)
        owner = self.home / OWNER
        if not owner.exists():
            owner.write_text(self.hospital, encoding="utf-8")
        if owner.read_text(encoding="utf-8") != self.hospital:
            raise IdentityRefused(
                "A job was given the folder of another hospital",
                where=f"hospital {self.hospital}",
                cure="Correct `home` in the roster's `azure_ml` of one of the two hospitals",
            )
        take_back(self.store)

    @property
    def store(self) -> Path:
        """The folder in the home of all that the hospital's processes keep: stores and keys."""
        return self.home / "hospitals" / self.hospital


@dataclass(frozen=True)
class Brought:
    """What came through the container.

    Attributes:
        request: What the orchestrator asks.
        files: What the files hold that go with it, by their names.
    """

    request: Any
    files: Mapping[str, bytes]


def owners(home: Path) -> set[str]:
    """Returns the hospital whose jobs have this home; none where it is no such home."""
    try:
        return {(home / OWNER).read_text(encoding="utf-8")}
    except OSError:
        return set()


def read_command_line(arguments: list[str], module: str) -> tuple[Machine, str]:
    """Returns the machine of a job's command line, and the URL of its messages' container.

    Raises:
        SystemExit: It is none.
    """
    if len(arguments) not in (3, 4):
        raise SystemExit(f"Usage: python -m {module} {USAGE}")
    hospital, messages, home, *images = arguments
    return Machine(hospital, Path(home), Path(images[0]) if images else None), messages


def answer_job(machine: Machine, messages: str, answer: Callable[[Brought], str]) -> None:
    """Answers the one request that Pipes brought.

    Args:
        machine: Whose job it is.
        messages: The URL of the container that it came through.
        answer: Returns the reply, as a line of JSON; an error that it raises is replied instead.

    Raises:
        ContainerRefused: It cannot be told how the container is opened.
        azure.core.exceptions.AzureError: The container cannot be read or written.
    """
    from dagster_pipes import (
        PipesAzureBlobStorageContextLoader,
        PipesAzureBlobStorageMessageWriter,
        open_dagster_pipes,
    )

    account, container = open_account(messages, machine.home), messages.rpartition("/")[2]
    with open_dagster_pipes(
        context_loader=PipesAzureBlobStorageContextLoader(account),
        message_writer=PipesAzureBlobStorageMessageWriter(account, interval=_FLUSH_SECONDS),
    ) as pipes:
        request = pipes.extras
        try:
            files = {
                name: _downloaded(account, container, told)
                for name, told in request.get("files", {}).items()
            }
            reply = answer(Brought(request, files))
        except Exception as error:
            reply = refusal(error)
        pipes.report_custom_message({ANSWER: reply})


def refusal(error: Exception) -> str:
    """Returns an error as a reply; the text of one that nobody foresaw may name files."""
    if not isinstance(error, FedAssetsError):
        error = WorkerFailed(
            "A hospital's job came upon an error that nobody foresaw", seen=type(error).__name__
        )
    return json.dumps({"error": error.as_record()})


def open_account(messages: str, home: Path) -> BlobServiceClient:
    """Returns the door to the account of the messages' container.

    The file that the hospital keeps in its home says how, see `place`; where there is none, it is
    the identity that the job acts as.

    Raises:
        ContainerRefused: That file cannot be used, or is another container's.
    """
    from azure.storage.blob import BlobServiceClient

    # Azure ML says so which of the machine's identities it is.
    place = Place(messages, identity=os.environ.get("DEFAULT_IDENTITY_CLIENT_ID", ""))
    if (home / MESSAGES_FILE).exists():
        place = read_place(home / MESSAGES_FILE)
    if place.url != messages:
        raise ContainerRefused("The container is another than the hospital's", where=place.url)
    return BlobServiceClient(
        place.account_url, credential=place.credential(), **dict[str, Any](TIMES)
    )


def _downloaded(account: BlobServiceClient, container: str, told: Mapping[str, Any]) -> bytes:
    """Returns a file that the orchestrator put there.

    Raises:
        WorkerFailed: It is not the one that the orchestrator means.
    """
    with account.get_blob_client(container, told["blob"]) as blob:
        content = blob.download_blob().readall()
    if sha256(content).hexdigest() != told["sha256"]:
        raise WorkerFailed(
            "A file that a job was sent is not the one that it was told of",
            where=f"container {container}",
            cure="Find out who else can write there, and run again",
        )
    return content
