"""NVFlare's server and clients as processes: started, watched, and stopped without remainder."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

import fed_assets
from fed_assets.errors import FederationDidNotStart, PortTaken
from fed_assets.federation.child import adopt_orphans
from fed_assets.federation.plan import SERVER
from fed_assets.federation.policies import Kits

GRACE_SECONDS = 5.0
LOOPBACK = {"127.0.0.1", "::1", "::ffff:127.0.0.1"}
CONSOLE_FILE = "console.log"


@dataclass(frozen=True)
class Federation:
    """The running processes of one federation.

    Attributes:
        kits: Where their workspaces lie.
        processes: The server's process under `server`, each hospital's client under its id.
    """

    kits: Kits
    processes: Mapping[str, subprocess.Popen[bytes]]

    def ended(self) -> dict[str, int]:
        """Returns the exit code of each process that should still run and does not."""
        codes = {name: process.poll() for name, process in self.processes.items()}
        return {name: code for name, code in codes.items() if code is not None}

    def console(self, name: str) -> Path:
        """Returns the file that holds what a process wrote to stdout and stderr."""
        workspace = self.kits.server if name == SERVER else self.kits.hospitals[name]
        return workspace / CONSOLE_FILE


@contextmanager
def running(kits: Kits, *, timeout_seconds: float) -> Iterator[Federation]:
    """Starts the server and, as soon as it listens, the hospitals' clients; stops them all after.

    The processes are tied to the thread that enters: when it ends, be it by `kill -9`, Linux kills
    them.

    Args:
        kits: What `provision` returned.
        timeout_seconds: How long the server may take to listen.

    Raises:
        PortTaken: Another process holds the server's port.
        FederationDidNotStart: The server ended, did not listen in time, or listens on more than
            loopback.
    """
    processes: dict[str, subprocess.Popen[bytes]] = {}
    federation = Federation(kits, processes)
    adopt_orphans()
    try:
        processes[SERVER] = _start(
            "nvflare.private.fed.app.server.server_train", "fed_server.json", kits.server, SERVER
        )
        _wait_for_listener(federation, time.monotonic() + timeout_seconds)
        for name, workspace in kits.hospitals.items():
            processes[name] = _start(
                "nvflare.private.fed.app.client.client_train", "fed_client.json", workspace, name
            )
        yield federation
    finally:
        stop(processes)


def stop(processes: Mapping[str, subprocess.Popen[bytes]]) -> None:
    """Ends processes and all their descendants: SIGTERM, and SIGKILL to what is left after 5 s."""
    family = _family(processes)
    for process in processes.values():
        process.terminate()
    for member in _wait(family, processes):
        with suppress(psutil.NoSuchProcess):
            member.kill()
    _wait(family, processes)


def _wait(
    family: Iterable[psutil.Process], processes: Mapping[str, subprocess.Popen[bytes]]
) -> list[psutil.Process]:
    """Returns those that have not ended after the time of grace."""
    deadline = time.monotonic() + GRACE_SECONDS
    while (left := _alive(family, processes)) and time.monotonic() < deadline:
        time.sleep(0.02)
    return left


def _family(processes: Mapping[str, subprocess.Popen[bytes]]) -> list[psutil.Process]:
    family: list[psutil.Process] = []
    for process in processes.values():
        with suppress(psutil.NoSuchProcess):
            root = psutil.Process(process.pid)
            family += [root, *root.children(recursive=True)]
    return family


def _alive(
    family: Iterable[psutil.Process], processes: Mapping[str, subprocess.Popen[bytes]]
) -> list[psutil.Process]:
    """Returns those that have not ended, and takes the exit status of those that have."""
    ours = {process.pid: process for process in processes.values()}
    alive = []
    for member in family:
        if member.pid in ours:
            ours[member.pid].poll()
        else:
            # Ours since its parent ended, see `adopt_orphans`.
            with suppress(ChildProcessError):
                os.waitpid(member.pid, os.WNOHANG)
        if member.is_running():
            alive.append(member)
    return alive


def _start(module: str, config: str, workspace: Path, name: str) -> subprocess.Popen[bytes]:
    command = [
        *(sys.executable, "-m", "fed_assets.federation.child", str(os.getpid()), module),
        *("-m", str(workspace), "-s", config),
        *("--set", "secure_train=true", f"uid={name}", f"org={name}", "config_folder=config"),
    ]
    console = os.open(workspace / CONSOLE_FILE, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        return subprocess.Popen(
            command,
            cwd=workspace,
            env=_environment(workspace),
            stdin=subprocess.DEVNULL,
            stdout=console,
            stderr=console,
            start_new_session=True,
        )
    finally:
        os.close(console)


def _environment(workspace: Path) -> dict[str, str]:
    """Returns all that a process of the federation finds in its environment: none of ours."""
    return {
        "HOME": str(workspace),
        "LANG": "C.UTF-8",
        "PATH": os.defpath,
        "PYTHONPATH": str(Path(fed_assets.__file__).parent.parent),
        "PYTHONUNBUFFERED": "1",
        "TMPDIR": str(workspace.parent.parent / "tmp"),
        # Ten hospitals share a machine: one thread each.
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
        # Big arrays come and go every round; unmapping them each time costs a page fault per page.
        "MALLOC_ARENA_MAX": "2",
        "MALLOC_MMAP_THRESHOLD_": "33554432",
        "MALLOC_TRIM_THRESHOLD_": "268435456",
    }


def _wait_for_listener(federation: Federation, deadline: float) -> None:
    server = federation.processes[SERVER]
    port = federation.kits.port
    log = str(federation.console(SERVER))
    while True:
        addresses = _listening_addresses(server.pid, port)
        if addresses - LOOPBACK:
            raise FederationDidNotStart(
                "The server listens on more than loopback",
                where=log,
                seen=", ".join(sorted(addresses - LOOPBACK)),
                cure="Let the name `localhost` stand for 127.0.0.1 alone on this machine",
            )
        if addresses:
            return
        holders = _holders(port)
        if holders and not holders & {server.pid, None}:
            raise PortTaken(f"Port {port} was taken by another process", where=f"127.0.0.1:{port}")
        if server.poll() is not None or time.monotonic() > deadline:
            raise FederationDidNotStart(
                f"The server does not listen on port {port}",
                where=log,
                seen="nothing in time"
                if server.returncode is None
                else f"exit code {server.returncode}",
            )
        time.sleep(0.05)


def _listening_addresses(pid: int, port: int) -> set[str]:
    """Returns the addresses on which a process listens on a port."""
    try:
        links = psutil.Process(pid).net_connections(kind="tcp")
    except psutil.NoSuchProcess:
        return set()
    return {link.laddr.ip for link in links if _listens(link, port)}


def _holders(port: int) -> set[int | None]:
    """Returns the processes that listen on a port; None stands for one that cannot be told."""
    links = psutil.net_connections(kind="tcp")
    return {link.pid for link in links if _listens(link, port)}


def _listens(link: Any, port: int) -> bool:
    return bool(link.status == psutil.CONN_LISTEN and link.laddr.port == port)
