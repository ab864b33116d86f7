"""The door to a federation that stays up between runs: up, down, status, and a run on it."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

from fed_assets.errors import FederationDidNotStart, JobFailed, TimeLimitPassed, error_from_record
from fed_assets.federation.plan import FederationPlan
from fed_assets.federation.program import BARE_ENVIRONMENT
from fed_assets.federation.progress import Event
from fed_assets.federation.results import FederationResult, result_from_record

CONTROL_SOCKET = "control.sock"
LOG_FILE = "warm.log"
ANSWER_SECONDS = 30.0
# Aborting a job, and stopping all processes, take less.
END_SECONDS = 15.0
_PROVISIONED = ("sandbox", "transport", "job_code", "hospitals", "stores", "executor", "port")


class Refused(Exception):
    """The federation that is up does not take the run; the reason is the message."""


def provisioned_with(plan: FederationPlan) -> dict[str, Any]:
    """Returns what a plan's federation is made of, JSON-ready: jobs that share it can share one."""
    parts = {name: value for name, value in asdict(plan).items() if name in _PROVISIONED}
    parts["hospitals"] = sorted(plan.hospitals)
    return {**parts, **{name: version(name) for name in ("fed_assets", "nvflare", "torch")}}


def status(folder: Path) -> dict[str, Any] | None:
    """Returns what the federation in a folder says of itself, or None where none is up.

    Returns:
        See `warm_process.WarmProcess.status`.
    """
    try:
        with _connect(folder) as connection:
            connection.settimeout(ANSWER_SECONDS)
            _ask(connection, {"ask": "status"})
            return dict(next(_heard(connection)))
    except (OSError, StopIteration):
        return None


def unfit(seen: dict[str, Any], plan: FederationPlan) -> str | None:
    """Returns why a federation of that status cannot carry out a plan, or None if it can."""
    wanted = provisioned_with(plan)
    if changed := sorted(name for name in wanted if seen["provisioned"].get(name) != wanted[name]):
        return f"changed since: {', '.join(changed)}"
    if seen["missing"]:
        return f"not there any more: {', '.join(seen['missing'])}"
    return None


def bring_up(plan: FederationPlan, folder: Path, on_event: Callable[[Event], None]) -> None:
    """Provisions and starts a federation that stays up, in the place of the folder's last one.

    Args:
        plan: Whose hospitals, transport and executor it is for; its own folder is not used.
        folder: Absolute path of its folder.
        on_event: Called with `provisioned`, `started` and `up`.

    Raises:
        FedAssetsError: It did not start; nothing is left of it but its log.
    """
    with _alone(folder):
        take_down(folder)
        place = folder / "federation"
        shutil.rmtree(place, ignore_errors=True)
        own = replace(plan, folder=str(place), outbox=str(place / "outbox"))
        own.write(folder / "plan.json")
        log = folder / LOG_FILE
        with open(os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as output:
            process = subprocess.Popen(
                [sys.executable, "-m", "fed_assets.federation.warm_process", "plan.json"],
                cwd=folder,
                env={**BARE_ENVIRONMENT, "HOME": str(folder), "TMPDIR": str(folder)},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=output,
                start_new_session=True,  # it outlives whoever started it
            )
        _wait_until_up(process, on_event, log)


def _wait_until_up(
    process: subprocess.Popen[bytes], on_event: Callable[[Event], None], log: Path
) -> None:
    assert process.stdout is not None
    with process.stdout:
        for line in process.stdout:
            event = json.loads(line)
            if event["event"] == "failed":
                process.wait()
                raise error_from_record(event["error"])
            on_event(event)
            if event["event"] == "up":
                return
    raise FederationDidNotStart(
        "The warm federation did not come up", where=str(log), seen=f"exit code {process.wait()}"
    )


def take_down(folder: Path) -> bool:
    """Stops the federation in a folder, a job of its too; says whether one was up.

    Raises:
        TimeLimitPassed: It did not end in time.
    """
    try:
        with _connect(folder) as connection:
            connection.settimeout(END_SECONDS)
            _ask(connection, {"ask": "down"})
            while connection.recv(1 << 16):
                pass
    except TimeoutError:
        raise TimeLimitPassed(
            f"The warm federation did not end within {END_SECONDS:g} s", where=str(folder)
        ) from None
    except OSError:
        return False
    return True


def run(folder: Path, plan: FederationPlan, on_event: Callable[[Event], None]) -> FederationResult:
    """Runs a plan on the federation in a folder; whoever leaves this early aborts the job.

    Args:
        folder: The folder of the federation.
        plan: What to run, with a folder and an outbox of its own.
        on_event: Called with each event but the last, see `session.run_federation`.

    Raises:
        Refused: It is not up, or busy.
        FedAssetsError: What the job ended with.
    """
    try:
        connection = _connect(folder)
    except OSError:
        raise Refused("it is not up") from None
    try:
        _ask(connection, {"ask": "run", "plan": asdict(plan)})
        for event in _heard(connection):
            match event["event"]:
                case "refused":
                    raise Refused(event["reason"])
                case "finished":
                    return result_from_record(event["result"])
                case "failed":
                    raise error_from_record(event["error"])
            on_event(event)
        raise JobFailed(
            "The warm federation ended in the middle of a job", where=str(folder / LOG_FILE)
        )
    finally:
        _hang_up(connection)


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Lets one process at a time bring a folder's federation up."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    with (folder / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _connect(folder: Path) -> socket.socket:
    """Returns a connection to the folder's federation.

    Raises:
        OSError: None is up.
    """
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        # A socket's path may have some hundred characters, a home's may have more.
        with _opened(folder) as directory:
            connection.connect(f"/proc/self/fd/{directory}/{CONTROL_SOCKET}")
    except OSError:
        connection.close()
        raise
    return connection


@contextmanager
def _opened(folder: Path) -> Iterator[int]:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _ask(connection: socket.socket, request: dict[str, Any]) -> None:
    connection.sendall(json.dumps(request).encode() + b"\n")


def _heard(connection: socket.socket) -> Iterator[dict[str, Any]]:
    """Yields what comes over a connection, to its end."""
    unread = b""
    while chunk := connection.recv(1 << 16):
        *lines, unread = (unread + chunk).split(b"\n")
        yield from (json.loads(line) for line in lines)


def _hang_up(connection: socket.socket) -> None:
    """Lets the job be aborted, where it still runs, and waits until it is."""
    with connection, suppress(OSError):
        connection.shutdown(socket.SHUT_WR)
        connection.settimeout(END_SECONDS)
        while connection.recv(1 << 16):
            pass
