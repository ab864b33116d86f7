"""NVFlare's server and clients as processes: started, watched, and stopped without remainder."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from fed_assets.errors import FederationDidNotStart, PortTaken
from fed_assets.federation.child import adopt_orphans
from fed_assets.federation.origin import Origin
from fed_assets.federation.plan import SERVER
from fed_assets.federation.policies import Kits
from fed_assets.federation.site import Site
from fed_assets.federation.spawned import Spawned

GRACE_SECONDS = 5.0
LOOPBACK = {"127.0.0.1", "::1", "::ffff:127.0.0.1"}


@dataclass(frozen=True)
class Federation:
    """The running processes of one federation.

    Attributes:
        kits: Where their workspaces lie.
        origin: What started them.
    """

    kits: Kits
    origin: Origin

    def ended(self) -> dict[str, int]:
        """Returns the exit code of each process that should still run and does not, by its site."""
        return self.origin.ended()

    def console(self, name: str) -> Path:
        """Returns the file that holds what a site's processes wrote to stdout and stderr."""
        return self.site(name).console

    def site(self, name: str) -> Site:
        """Returns the site of a name: `server`, or a hospital's id."""
        workspace = self.kits.server if name == SERVER else self.kits.hospitals[name]
        return Site(name, str(workspace))


@contextmanager
def running(
    kits: Kits, *, timeout_seconds: float, origin: Origin | None = None
) -> Iterator[Federation]:
    """Starts the server and, as soon as it listens, the hospitals' clients; stops them all after.

    The processes are tied to the thread that made the origin: when it ends, be it by `kill -9`,
    Linux kills them.

    Args:
        kits: What `provision` returned.
        timeout_seconds: How long the server may take to listen.
        origin: Where processes come from; if left out, each is spawned.

    Raises:
        PortTaken: Another process holds the server's port.
        FederationDidNotStart: The server ended, did not listen in time, or listens on more than
            loopback.
    """
    origin = origin or Spawned()
    federation = Federation(kits, origin)
    deadline = time.monotonic() + timeout_seconds
    adopt_orphans()
    try:
        server = origin.start(federation.site(SERVER), timeout_seconds)
        _wait_for_listener(federation, server, deadline)
        for name in kits.hospitals:
            origin.start(federation.site(name), max(deadline - time.monotonic(), 1.0))
        yield federation
    finally:
        stop(origin)


def stop(origin: Origin) -> None:
    """Ends all processes of an origin: asks them, and kills what is left after the grace."""
    family = [member for root in origin.roots() for member in _family(root)]
    origin.end()
    for member in _wait(family, origin):
        with suppress(psutil.NoSuchProcess):
            member.kill()
    _wait(family, origin)


def _wait(family: Iterable[psutil.Process], origin: Origin) -> list[psutil.Process]:
    """Returns those that have not ended after the time of grace."""
    deadline = time.monotonic() + GRACE_SECONDS
    while (left := _alive(family, origin)) and time.monotonic() < deadline:
        time.sleep(0.02)
    return left


def _family(root: int) -> list[psutil.Process]:
    """Returns a process and its descendants, as far as it still runs."""
    try:
        process = psutil.Process(root)
        return [process, *process.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def _alive(family: Iterable[psutil.Process], origin: Origin) -> list[psutil.Process]:
    """Returns those that have not ended, and takes the exit status of those that have."""
    origin.ended()
    roots = origin.roots()
    alive = []
    for member in family:
        if member.pid not in roots:
            # Ours since its parent ended, see `adopt_orphans`.
            with suppress(ChildProcessError):
                os.waitpid(member.pid, os.WNOHANG)
        if member.is_running():
            alive.append(member)
    return alive


def _wait_for_listener(federation: Federation, server: int, deadline: float) -> None:
    """Waits until the server's process, or one that descends from it, listens on its port."""
    port = federation.kits.port
    log = str(federation.console(SERVER))
    while True:
        family = _family(server)
        addresses = {address for member in family for address in _addresses(member, port)}
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
        if holders and not holders & {None, *(member.pid for member in family)}:
            raise PortTaken(f"Port {port} was taken by another process", where=f"127.0.0.1:{port}")
        code = federation.ended().get(SERVER)
        if code is not None or time.monotonic() > deadline:
            raise FederationDidNotStart(
                f"The server does not listen on port {port}",
                where=log,
                seen="nothing in time" if code is None else f"exit code {code}",
            )
        time.sleep(0.05)


def _addresses(process: psutil.Process, port: int) -> set[str]:
    """Returns the addresses on which a process listens on a port."""
    try:
        links = process.net_connections(kind="tcp")
    except psutil.NoSuchProcess:
        return set()
    return {link.laddr.ip for link in links if _listens(link, port)}


def _holders(port: int) -> set[int | None]:
    """Returns the processes that listen on a port; None stands for one that cannot be told."""
    links = psutil.net_connections(kind="tcp")
    return {link.pid for link in links if _listens(link, port)}


def _listens(link: Any, port: int) -> bool:
    return bool(link.status == psutil.CONN_LISTEN and link.laddr.port == port)
