"""One job of Azure ML: starts the hospital's worker on what Pipes brought, and answers through it.

`python -m fed_assets.hospital.azure_job HOSPITAL MESSAGES HOME [IMAGES]` runs on a compute of the
hospital's own workspace: its id, the URL of the container that tasks and answers pass through, and
the folders that its stores and its images lie in. What it answers is the worker's own reply, and
the whole of it; whatever else is printed goes into the hospital's own log.
"""

from __future__ import annotations

import io
import json
import os
import signal
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from fed_assets.containers.place import TIMES, Place, read_place
from fed_assets.errors import (
    ContainerRefused,
    FedAssetsError,
    IdentityRefused,
    SourceMissing,
    WorkerFailed,
)
from fed_assets.hospital.worker import serve

if TYPE_CHECKING:
    from azure.storage.blob import BlobServiceClient

# What a job's one custom message is called, and its only entry.
ANSWER = "answer"
# Beside the stores of a home, where its container is opened by a token and not by an identity.
MESSAGES_FILE = PurePosixPath("keys/messages.json")
OWNER = "hospital"  # the file in a home that says whose it is
_PLACES = ("store", "key_file", "approval", "container")
_IMAGES_FOLDER = "${FED_ASSETS_DATA}"
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


def answer_request(request: Any, machine: Machine, weights: Mapping[str, bytes]) -> str:
    """Returns the worker's reply to what the orchestrator asks, as a line of JSON.

    Args:
        request: An object of `identity`, as `hospital.worker.Identity` reads it but with places
            relative to the home, and `requests`, of which the last one's reply is returned.
        machine: Where it is carried out.
        weights: By the name of the argument, what the last request's files of weights hold.
    """
    try:
        with _files(weights) as paths:
            lines = _lines(request, machine, paths)
            replies = io.StringIO()
            serve(io.StringIO("".join(f"{json.dumps(line)}\n" for line in lines)), replies)
        return replies.getvalue().splitlines()[-1]
    except Exception as error:
        return _refusal(error)


def _refusal(error: Exception) -> str:
    """Returns an error as a reply; the text of one that nobody foresaw may name files."""
    if not isinstance(error, FedAssetsError):
        error = WorkerFailed(
            "A hospital's job came upon an error that nobody foresaw", seen=type(error).__name__
        )
    return json.dumps({"error": error.as_record()})


def _lines(request: Any, machine: Machine, weights: Mapping[str, str]) -> list[dict[str, Any]]:
    identity, requests = request["identity"], request["requests"]
    if set(identity["hospitals"]) != {machine.hospital}:
        raise IdentityRefused(
            "A job was asked to act for a hospital that its machine is not",
            where=f"hospital {machine.hospital}",
            seen=", ".join(sorted(identity["hospitals"])),
        )
    _require_own(machine)
    kept = dict(identity["hospitals"][machine.hospital])
    for name in _PLACES:
        if name in kept:
            kept[name] = str(_below(machine.home, kept[name]))
    arguments = {**(requests[-1].get("arguments") or {}), **weights}
    if "source" in arguments:
        arguments["source"] = _located(arguments["source"], machine)
    return [
        {**identity, "hospitals": {machine.hospital: kept}},
        *requests[:-1],
        {**requests[-1], "arguments": arguments},
    ]


def _require_own(machine: Machine) -> None:
    """Raises IdentityRefused where a home is another hospital's; a new one becomes this one's."""
    machine.home.mkdir(mode=0o700, parents=True, exist_ok=True)
    owner = machine.home / OWNER
    if not owner.exists():
        owner.write_text(machine.hospital, encoding="utf-8")
    if owner.read_text(encoding="utf-8") != machine.hospital:
        raise IdentityRefused(
            "A job was given the folder of another hospital",
            where=f"hospital {machine.hospital}",
            cure="Correct `home` in the roster's `azure_ml` of one of the two hospitals",
        )


def _below(home: Path, place: str) -> Path:
    """Returns a place in the home.

    Raises:
        IdentityRefused: It leads out of it.
    """
    path = PurePosixPath(place)
    if path.is_absolute() or ".." in path.parts:
        raise IdentityRefused(
            "A job was asked to keep files outside of its hospital's folder", where=place
        )
    return home / path


def _located(source: dict[str, Any], machine: Machine) -> dict[str, Any]:
    """Returns a source of images whose path is filled in.

    Raises:
        SourceMissing: The machine was given no images, or the path does not lie among them.
    """
    if source.get("path") is None:
        return source
    first, *others = PurePosixPath(source["path"]).parts
    if machine.images is None or first != _IMAGES_FOLDER or ".." in others:
        raise SourceMissing(
            "The hospital's path does not lie in the images that its job is given",
            where=f"hospital {machine.hospital}",
            cure="In the roster, begin its `path` with ${FED_ASSETS_DATA}, and name by "
            "`azure_ml.images` the folder that this stands for",
        )
    return {**source, "path": str(machine.images.joinpath(*others))}


@contextmanager
def _files(weights: Mapping[str, bytes]) -> Iterator[dict[str, str]]:
    """Yields the paths of files that hold these weights; they are gone after."""
    with tempfile.TemporaryDirectory(prefix="fed_assets_") as folder:
        paths = {name: Path(folder) / f"{name}.safetensors" for name in weights}
        for name, path in paths.items():
            path.write_bytes(weights[name])
        yield {name: str(path) for name, path in paths.items()}


def open_account(messages: str, home: Path) -> BlobServiceClient:
    """Returns the door to the account of the messages' container.

    The file that the hospital keeps in its home says how, see `containers.place`; where there is
    none, it is the identity that the job acts as.

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
    """Returns a file of weights that the orchestrator put there.

    Raises:
        WorkerFailed: It is not the one that the orchestrator means.
    """
    with account.get_blob_client(container, told["blob"]) as blob:
        content = blob.download_blob().readall()
    if sha256(content).hexdigest() != told["sha256"]:
        raise WorkerFailed(
            "The weights that a job was sent are not those that it was told of",
            where=f"container {container}",
            cure="Find out who else can write there, and run again",
        )
    return content


def run(machine: Machine, messages: str) -> None:
    """Answers the one request that Pipes brought.

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
            weights = {
                name: _downloaded(account, container, told)
                for name, told in request.get("weights", {}).items()
            }
            reply = answer_request(request, machine, weights)
        except Exception as error:
            reply = _refusal(error)
        pipes.report_custom_message({ANSWER: reply})


def main() -> None:
    """Runs the job that the command line describes."""
    if len(sys.argv) not in (4, 5):
        raise SystemExit(
            "Usage: python -m fed_assets.hospital.azure_job HOSPITAL MESSAGES HOME [IMAGES]"
        )
    os.umask(0o077)
    # Without this a cancelled job would skip the removal of what is half-written.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    hospital, messages, home, *images = sys.argv[1:]
    run(Machine(hospital, Path(home), Path(images[0]) if images else None), messages)


if __name__ == "__main__":
    main()
