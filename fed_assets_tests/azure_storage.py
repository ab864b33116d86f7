"""Azurite, Microsoft's own emulator of Azure's storage, as a process of the tests."""

from __future__ import annotations

import base64
import os
import re
import secrets
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from azure.storage.blob import BlobServiceClient, ContainerClient

from fed_assets.containers.issuing import Issued, container_name, issue

INSTALLED = Path(__file__).parent / "azurite" / "node_modules"
MAIN = INSTALLED / "azurite" / "dist" / "src" / "blob" / "main.js"
ACCOUNT = "fedassets"
START_SECONDS = 90


def missing_azurite() -> str:
    """Returns why it cannot be started; nothing where it can."""
    if shutil.which("node") is None:
        return "Node is not installed: install nodejs 20 or newer"
    return "" if MAIN.is_file() else "Azurite is not installed: run `make azurite`"


@dataclass
class Azurite:
    """A running emulator with one account.

    Attributes:
        url: Of the account.
        key: Of the account.
        pid: Of its process.
        console: The file of what it prints.
    """

    url: str
    key: str = field(repr=False)
    pid: int
    console: Path
    _given: int = 0

    def party(self) -> str:
        """Returns the name of a party that has no container yet."""
        self._given += 1
        return f"party_{self._given}"

    def issue(self, party: str) -> Issued:
        return issue(self.url, self.key, party, days=1)

    def owned(self, party: str) -> ContainerClient:
        """Returns a party's container, as the account's owner has it."""
        service = BlobServiceClient(self.url, {"account_name": ACCOUNT, "account_key": self.key})
        return service.get_container_client(container_name(party))

    def names(self, party: str) -> set[str]:
        with self.owned(party) as container:
            return {str(each) for each in container.list_blob_names()}

    def sizes(self, party: str) -> list[int]:
        """Returns the bytes of each file of a party's."""
        with self.owned(party) as container:
            return [int(each.size) for each in container.list_blobs()]

    def requests(self) -> int:
        """Returns how many requests it has answered, if it logs them."""
        return len(re.findall(r'HTTP/1\.1" \d{3}', self.console.read_text()))


@contextmanager
def running_azurite(*, log_requests: bool = False) -> Iterator[Azurite]:
    """Yields an emulator on a free port of 127.0.0.1; it and its files are gone after."""
    key = base64.b64encode(secrets.token_bytes(64)).decode()
    with tempfile.TemporaryDirectory(prefix="fed_assets_azurite_") as folder:
        console = Path(folder) / "console"
        with console.open("w") as output:
            process = subprocess.Popen(
                [
                    *("node", str(MAIN), "--disableTelemetry", "--location", folder),
                    *(() if log_requests else ("--silent",)),
                    *("--blobHost", "127.0.0.1", "--blobPort", "0"),
                    # Azure's client speaks a newer version of the interface than it knows.
                    "--skipApiVersionCheck",
                ],
                stdout=output,
                stderr=subprocess.STDOUT,
                env={"PATH": os.environ["PATH"], "AZURITE_ACCOUNTS": f"{ACCOUNT}:{key}"},
            )
        try:
            yield Azurite(f"{_address(process, console)}/{ACCOUNT}", key, process.pid, console)
        finally:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _address(process: subprocess.Popen[bytes], console: Path) -> str:
    end = time.monotonic() + START_SECONDS
    while time.monotonic() < end and process.poll() is None:
        if found := re.search(r"listens on (http://127\.0\.0\.1:\d+)", console.read_text()):
            return found[1]
        time.sleep(0.1)
    raise AssertionError(f"Azurite did not start: {console.read_text()[-2000:]}")
