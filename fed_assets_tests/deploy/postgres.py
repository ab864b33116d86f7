"""A real Postgres server on 127.0.0.1, in a folder of its own, with a password."""

from __future__ import annotations

import os
import pwd
import secrets
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

START_SECONDS = 60
USER = "fed_assets"


def server_program(name: str) -> str | None:
    """Returns a program of the newest Postgres that is installed; None where none is."""
    found = [*Path("/usr/lib/postgresql").glob(f"*/bin/{name}")]
    newest = max(found, key=lambda path: float(path.parts[-3]), default=None)
    return str(newest) if newest else shutil.which(name)


@contextmanager
def postgres(folder: Path) -> Iterator[str]:
    """Yields the address of a server, which is over when this is left.

    Args:
        folder: Where its files go; every folder above it must let others pass.
    """
    initdb, program = server_program("initdb"), server_program("postgres")
    assert initdb, "Postgres is not installed: Debian's package `postgresql`"
    assert program
    password = secrets.token_hex(16)
    asked = folder / "password"
    asked.write_text(password)
    data = folder / "data"
    data.mkdir(mode=0o700)
    # Postgres does not run as root.
    owner = pwd.getpwnam("postgres").pw_uid if os.geteuid() == 0 else None
    if owner is not None:
        for path in (folder, data, asked):
            os.chown(path, owner, -1)
    subprocess.run(
        [initdb, "-D", data, "-U", USER, "--auth=scram-sha-256", f"--pwfile={asked}", "--no-sync"],
        check=True,
        user=owner,
        stdout=subprocess.DEVNULL,
    )
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    options = {
        "port": port,
        "listen_addresses": "127.0.0.1",
        "unix_socket_directories": "",
        "fsync": "off",
    }
    with (folder / "server.log").open("wb") as log:
        server = subprocess.Popen(
            [program, "-D", data, *(f"-c{name}={value}" for name, value in options.items())],
            user=owner,
            stdout=log,
            stderr=log,
        )
    try:
        _wait_for(port, server, folder / "server.log")
        yield f"postgresql+psycopg2://{USER}:{password}@127.0.0.1:{port}/postgres"
    finally:
        server.terminate()  # no new sessions; those that are open may end
        try:
            server.wait(5)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()


def _wait_for(port: int, server: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        assert server.poll() is None, log.read_text()
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            time.sleep(0.05)
    raise AssertionError(f"Postgres did not start: {log.read_text()}")
