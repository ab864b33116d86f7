"""NVFlare's server and clients as processes: started, watched, and stopped without remainder."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from fed_assets.errors import FederationDidNotStart, PortTaken
from fed_assets.federation.elsewhere import Elsewhere
from fed_assets.federation.origin import Origin, Process, stop
from fed_assets.federation.plan import SERVER
from fed_assets.federation.policies import Kits
from fed_assets.federation.site import Site

GRACE_SECONDS = 5.0
LOOPBACK = {"127.0.0.1", "::1", "::ffff:127.0.0.1"}


@dataclass(frozen=True)
class Federation:
    """The running processes of one federation.

    Attributes:
        kits: Where their workspaces lie.
        origin: What started them.
        processes: The main process of each site, by its name.
    """

    kits: Kits
    origin: Origin
    processes: Mapping[str, Process]

    def ended(self) -> dict[str, int]:
        """Returns the exit code of each process that should still run and does not, by its site."""
        codes = {name: process.ended() for name, process in self.processes.items()}
        return {name: code for name, code in codes.items() if code is not None}

    def console(self, name: str) -> Path:
        """Returns the file that holds what a site's processes wrote to stdout and stderr."""
        return site_of(self.kits, name).console


def site_of(kits: Kits, name: str) -> Site:
    """Returns the site of a name: `server`, or a hospital's id."""
    return Site(name, str(kits.server if name == SERVER else kits.hospitals[name]))


@contextmanager
def running(kits: Kits, *, timeout_seconds: float, origin: Origin) -> Iterator[Federation]:
    """Starts the server and, as soon as it listens, the hospitals' clients; stops them all after.

    Args:
        kits: What `provision` returned.
        timeout_seconds: How long the server may take to listen.
        origin: Where processes come from.

    Raises:
        ProcessNotStarted: The server's process did not come to be.
        PortTaken: Another process holds the server's port.
        FederationDidNotStart: The server ended, did not listen in time, or listens on more than
            loopback.
    """
    deadline = time.monotonic() + timeout_seconds
    processes: dict[str, Process] = {}
    federation = Federation(kits, origin, processes)

    def start(name: str) -> None:
        processes[name] = origin.start(name, site_of(kits, name).main_program())

    try:
        start(SERVER)
        _wait_for_listener(federation, processes[SERVER].pid(timeout_seconds), deadline)
        for name, workspace in kits.hospitals.items():
            if name in kits.elsewhere:
                processes[name] = Elsewhere(workspace)
            else:
                start(name)
        yield federation
    finally:
        stop(processes.values(), grace_seconds=GRACE_SECONDS)


def _wait_for_listener(federation: Federation, server: int, deadline: float) -> None:
    """Waits until the server's process listens on its port."""
    port = federation.kits.port
    log = str(federation.console(SERVER))
    while True:
        addresses = _addresses(server, port)
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
        if holders and not holders & {None, server}:
            raise PortTaken(f"Port {port} was taken by another process", where=f"127.0.0.1:{port}")
        code = federation.ended().get(SERVER)
        if code is not None or time.monotonic() > deadline:
            raise FederationDidNotStart(
                f"The server does not listen on port {port}",
                where=log,
                seen="nothing in time" if code is None else f"exit code {code}",
            )
        time.sleep(0.05)


def _addresses(process: int, port: int) -> set[str]:
    """Returns the addresses on which a process listens on a port."""
    try:
        links: list[Any] = psutil.Process(process).net_connections(kind="tcp")
    except psutil.NoSuchProcess:
        return set()
    except psutil.AccessDenied:  # behind walls, whose a listener is cannot be told
        links = [link for link in psutil.net_connections(kind="tcp") if link.pid is None]
    return {link.laddr.ip for link in links if _listens(link, port)}


def _holders(port: int) -> set[int | None]:
    """Returns the processes that listen on a port; None stands for one that cannot be told."""
    links = psutil.net_connections(kind="tcp")
    return {link.pid for link in links if _listens(link, port)}


def _listens(link: Any, port: int) -> bool:
    return bool(link.status == psutil.CONN_LISTEN and link.laddr.port == port)
