"""Dagster's real pages on a free port of this machine alone."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import Request, urlopen

PROJECT = Path(__file__).parent.parent
START_SECONDS = 90
STOP_SECONDS = 20
PAGES = ("dagster_webserver",)
# Beside the pages, as `make ui` does: the daemon, without which no run that they ask for starts.
PAGES_AND_DAEMON = ("dagster", "dev")


@contextmanager
def serving(
    environment: Mapping[str, str], log: Path, module: Sequence[str] = PAGES
) -> Iterator[str]:
    """Yields the address of a webserver over the home that the environment names.

    Raises:
        RuntimeError: it did not start; the message ends with the last lines of its log.
    """
    port = _free_port()
    command = [sys.executable, "-m", *module, "--workspace", "workspace.yaml"]
    command += ["--host", "127.0.0.1", "--port", str(port)]
    with open(log, "wb") as output:
        process = subprocess.Popen(
            command,
            cwd=PROJECT,
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    try:
        address = f"http://127.0.0.1:{port}"
        _wait_until_it_answers(address, process, log)
        yield address
    finally:
        _stop(process)


def ask(address: str, query: str, **variables: Any) -> dict[str, Any]:
    """Returns the webserver's answer to a GraphQL query.

    Raises:
        RuntimeError: it answers with errors.
    """
    body = json.dumps({"query": query, "variables": variables}).encode()
    request = Request(f"{address}/graphql", body, {"Content-Type": "application/json"})
    with urlopen(request, timeout=START_SECONDS) as response:
        answer = json.load(response)
    if answer.get("errors"):
        raise RuntimeError(str(answer["errors"]))
    data: dict[str, Any] = answer["data"]
    return data


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait_until_it_answers(address: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        try:
            urlopen(f"{address}/server_info", timeout=5).close()
            return
        except (URLError, OSError):
            time.sleep(0.2)
    tail = log.read_text(errors="replace").splitlines()[-10:]
    raise RuntimeError("\n".join(["dagster-webserver did not start:", *tail]))


def _stop(process: subprocess.Popen[bytes]) -> None:
    """Ends the webserver and the code server that it started, its whole process group."""
    process.send_signal(signal.SIGINT)
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        return
