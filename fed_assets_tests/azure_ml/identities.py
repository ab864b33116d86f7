"""Azurite as it is with identities in place of tokens: by TLS, with what a directory would issue.

It reads a token's audience, issuer and times, and neither its signature nor any role: what is tried
with it is that a client asks for the right token, and no wall.
"""

from __future__ import annotations

import base64
import os
import re
import secrets
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fed_assets_tests.azure_storage import ACCOUNT, MAIN, START_SECONDS, Azurite


@contextmanager
def azurite_of_identities(folder: Path, certificate: Path, key: Path) -> Iterator[Azurite]:
    """Yields an emulator on a free port of 127.0.0.1; it is gone after."""
    account_key = base64.b64encode(secrets.token_bytes(64)).decode()
    console = folder / "console"
    with console.open("w") as output:
        process = subprocess.Popen(
            [
                *("node", str(MAIN), "--silent", "--disableTelemetry"),
                *("--location", str(folder / "azurite"), "--skipApiVersionCheck"),
                *("--blobHost", "127.0.0.1", "--blobPort", "0", "--oauth", "basic"),
                *("--cert", str(certificate), "--key", str(key)),
            ],
            stdout=output,
            stderr=subprocess.STDOUT,
            env={"PATH": os.environ["PATH"], "AZURITE_ACCOUNTS": f"{ACCOUNT}:{account_key}"},
        )
    try:
        end = time.monotonic() + START_SECONDS
        while not (found := re.search(r"listens on (https://[\d.]+:\d+)", console.read_text())):
            assert process.poll() is None and time.monotonic() < end, console.read_text()
            time.sleep(0.1)
        yield Azurite(f"{found[1]}/{ACCOUNT}", account_key, process.pid, console)
    finally:
        process.terminate()
        process.wait(20)
