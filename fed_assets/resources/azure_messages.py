"""What passes between the orchestrator and a hospital's job, through a blob container.

Only what a job has to say gets through: that it began, its one answer, that it ended. Its log
lines, tracebacks and materializations would reach Dagster past the worker's rules.

Imported when a job is first started: Azure's packages take seconds.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from hashlib import sha256
from typing import Any

from azure.core.exceptions import AzureError
from azure.storage.blob import BlobServiceClient, StorageErrorCode
from dagster_azure.pipes import (
    PipesAzureBlobStorageContextInjector,
    PipesAzureBlobStorageMessageReader,
)
from dagster_pipes import PIPES_PROTOCOL_VERSION, PIPES_PROTOCOL_VERSION_FIELD

ANSWER = "answer"
# The largest answer is a contact sheet, of some 100 kB.
MOST_BYTES = 8 << 20
INTERVAL_SECONDS = 1.0


class Messages:
    """What lies of one job in its hospital's container; `clear` removes it.

    Args:
        account: The door to the container's account.
        container: The container's name.
    """

    def __init__(self, account: BlobServiceClient, container: str) -> None:
        self._account = account
        self._container = container
        self._folders: list[str] = []
        self.injector = Injector(container, account, self._folders)
        self.reader = AnswerReader(container, account, self._folders)

    def put_files(self, files: Mapping[str, bytes]) -> dict[str, dict[str, str]]:
        """Puts files there that go with a task; returns the blob and the digest of each name.

        Raises:
            azure.core.exceptions.AzureError: One cannot be put there.
        """
        told = {}
        for name, content in files.items():
            folder = secrets.token_hex(16)
            self._folders.append(folder)
            blob = f"{folder}/{name}"
            with self._account.get_blob_client(self._container, blob) as client:
                client.upload_blob(content)
            told[name] = {"blob": blob, "sha256": sha256(content).hexdigest()}
        return told

    def clear(self) -> None:
        """Removes all of it. What cannot be removed stays, in folders of random names."""
        with (
            suppress(AzureError),
            self._account.get_container_client(self._container) as container,
        ):
            for folder in self._folders:
                for name in container.list_blob_names(name_starts_with=f"{folder}/"):
                    container.delete_blob(name)


class Injector(PipesAzureBlobStorageContextInjector):
    """Puts a job's task into the container.

    Dagster's own removes it only where all goes well, and would have an answer fail with that.
    """

    def __init__(self, container: str, account: BlobServiceClient, folders: list[str]) -> None:
        super().__init__(container=container, client=account)
        self._folders = folders

    @contextmanager
    def inject_context(self, context: Any) -> Iterator[Any]:
        """Yields where the task lies."""
        folder = secrets.token_hex(16)
        self._folders.append(folder)
        task = f"{folder}/context.json"
        with self.client.get_blob_client(self.bucket, task) as client:
            client.upload_blob(json.dumps(context).encode())
        yield {"bucket": self.bucket, "key": task}


class AnswerReader(PipesAzureBlobStorageMessageReader):
    """Reads what a job has to say, and no more of it.

    Attributes:
        trouble: Why there is nothing to read, if there is a reason.
    """

    def __init__(self, container: str, account: BlobServiceClient, folders: list[str]) -> None:
        super().__init__(interval=INTERVAL_SECONDS, container=container, client=account)
        self._folders = folders
        self._over = False
        self.trouble = ""

    def end(self) -> None:
        """Says that the job is over: what it wrote is there, so that nothing is waited for."""
        self._over = True

    @contextmanager
    def get_params(self) -> Iterator[Any]:
        """Yields where the job shall write."""
        with super().get_params() as params:
            self._folders.append(params["key_prefix"])
            yield params

    def messages_are_readable(self, params: Any) -> bool:
        """Returns whether there may be something to read."""
        return self._over or bool(super().messages_are_readable(params))

    def download_messages_chunk(self, index: int, params: Any) -> str | None:
        """Returns the next of what the job wrote, as far as it is let through; None if none."""
        over = self._over  # asked first: what comes between would be missed
        blob = f"{params['key_prefix']}/{index}.json"
        content = b""
        try:
            with self.client.get_blob_client(self.bucket, blob) as client:
                content = client.download_blob(offset=0, length=MOST_BYTES + 1).readall()
        except AzureError as error:
            if getattr(error, "error_code", None) != StorageErrorCode.BLOB_NOT_FOUND:
                status = getattr(error, "status_code", None) or type(error).__name__
                self.trouble = f"the container of its messages answers {status}"
        if len(content) > MOST_BYTES:
            self.trouble = f"it wrote more than {MOST_BYTES:,} bytes"
            return _message("closed", {})
        if content:
            return passed(content.decode(errors="replace"))
        return _message("closed", {}) if over else None


def passed(chunk: str) -> str:
    """Returns what of a chunk of a job's messages is let through to Dagster.

    >>> passed('{"method": "log", "params": {"message": "patient 7"}}')
    ' '
    """
    # An empty chunk would count as none.
    return "\n".join(filter(None, map(_passed, chunk.split("\n")))) or " "


def _passed(line: str) -> str:
    try:
        said = json.loads(line)
    except (ValueError, RecursionError):
        return ""
    match said:
        case {"method": "opened" | "closed" as method}:
            return _message(method, {})
        case {
            "method": "report_custom_message",
            "params": {"payload": {"answer": str(answer)}},
        }:
            return _message("report_custom_message", {"payload": {ANSWER: answer}})
    return ""


def _message(method: str, params: Mapping[str, Any]) -> str:
    version = {PIPES_PROTOCOL_VERSION_FIELD: PIPES_PROTOCOL_VERSION}
    return json.dumps({**version, "method": method, "params": params})
