"""Hospitals on hosts of their own, as a run reaches them: through the door, see `hosts`."""

from __future__ import annotations

import json
import threading
import uuid
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from fed_assets.errors import FedAssetsError
from fed_assets.federation.elsewhere import UNWANTED, WANTED, write_site_ended
from fed_assets.federation.ended import write_ended
from fed_assets.federation.plan import FederationPlan
from fed_assets.federation.site import SITES
from fed_assets.federation.site_key import throwaway_key
from fed_assets.hosts.calls import Calls
from fed_assets.hosts.desk_socket import reach_desk
from fed_assets.resources.shared_weights import read_weights
from fed_assets.sandboxes.sandbox import Sandbox

OPEN_SECONDS = 120.0
LOOK_SECONDS = 0.1
# What is sent of a site's start-up kit; its key is made there.
STARTUP = ("client.crt", "rootCA.pem", "client_context.tenseal")


class RemoteHospitals:
    """The way to them; `close` it after.

    Args:
        folder: Where the door's desk has its socket.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._calls: Calls | None = None
        self._opening = threading.Lock()

    def reach(self) -> None:
        """Connects with the desk, if there is one; without it, each question says what is missing.

        Where the run's process goes behind a wall later, nobody could connect from there.
        """
        with suppress(FedAssetsError):
            self._connected()

    def close(self) -> None:
        """Ends the connection, and with it the sites that were opened over it."""
        with self._opening:
            if self._calls is not None:
                self._calls.close()
            self._calls = None

    def ask(
        self,
        sandbox: Sandbox,
        hospital: str,
        task: str,
        arguments: Mapping[str, Any],
        peer: str,
        timeout_seconds: float,
    ) -> dict[str, Any]:
        """Returns a hospital's answer to a task; files of weights go with it as they are.

        Raises:
            FedAssetsError: What its process, or its machine, answered.
            StorageError: Weights cannot be read here.
        """
        files = read_weights(arguments)
        header = {
            "do": "ask",
            "hospital": hospital,
            "sandbox": record_of(sandbox),
            "task": task,
            "arguments": {name: each for name, each in arguments.items() if name not in files},
            "files": list(files),
            "peer": peer,
        }
        return self._connected().ask(header, list(files.values()), timeout_seconds)

    @contextmanager
    def sites(
        self, sandbox: Sandbox, plan: FederationPlan, remote: list[str], say: Callable[[str], None]
    ) -> Iterator[FederationPlan]:
        """Yields a plan with what the machines of its remote hospitals contribute to it.

        Each opens a site and makes a key for it. Their clients are started there as soon as the
        session wants it, and what becomes of them is noted where the session reads it. All are
        closed after.

        Args:
            sandbox: The plan's.
            plan: What is to be run.
            remote: The hospitals on hosts of their own; those of the plan count.
            say: Called with a sentence where one cannot take part; it is lost then.
        """
        names = [name for name in plan.hospitals if name in remote]
        if not names:
            yield plan
            return
        calls, run = self._connected(), Path(plan.folder).name
        sites = {name: _Site(name, uuid.uuid4().hex, Path(plan.folder) / SITES) for name in names}
        asked = {
            "sandbox": record_of(sandbox),
            "run": run,
            "hospitals": list(plan.hospitals),
            "quorum": plan.quorum,
            "network": str(plan.network.get("_target_", "")),
        }

        def open_site(name: str) -> str:
            header = {**asked, "do": "open", "hospital": name, "site": sites[name].site}
            try:
                return str(calls.ask(header, (), OPEN_SECONDS)["public_key"])
            except FedAssetsError as error:
                sites[name].failed = True
                say(f"{name} takes no part: {error}")
                return throwaway_key()

        with ThreadPoolExecutor(len(names)) as pool:
            keys = dict(zip(names, pool.map(open_site, names), strict=True))
        over = threading.Event()
        watch = threading.Thread(target=_watch, args=(calls, list(sites.values()), over, say))
        watch.start()
        try:
            yield replace(plan, remote=keys)
        finally:
            over.set()
            watch.join()

    def _connected(self) -> Calls:
        with self._opening:
            if self._calls is None:
                self._calls = Calls(reach_desk(self._folder))
            return self._calls


@dataclass
class _Site:
    """One hospital's site on its own machine.

    Attributes:
        hospital: Its id.
        site: The site's.
        folder: Where the sites of the federation lie here.
        failed: Whether it cannot take part.
        started: Whether its client was asked for.
    """

    hospital: str
    site: str
    folder: Path
    failed: bool = False
    started: bool = False

    @property
    def workspace(self) -> Path:
        """What lies here of it."""
        return self.folder / self.hospital

    def hear(self, event: Mapping[str, Any]) -> None:
        """Notes what became of it, where the session reads it."""
        with suppress(OSError):  # the run is over, and its folder gone
            if "job" in event:
                write_ended(self.workspace, _plain(str(event["job"])), event.get("code"))
            elif "ended" in event:
                write_site_ended(self.workspace, int(event["ended"]))


def record_of(sandbox: Sandbox) -> dict[str, Any]:
    """Returns a sandbox as both sides compare it: by all that it promises."""
    return sandbox.model_dump(mode="json")


def _watch(
    calls: Calls, sites: list[_Site], over: threading.Event, say: Callable[[str], None]
) -> None:
    """Starts each site's client when the session wants it, and closes all in the end."""
    for each in sites:
        calls.listen(each.site, each.hear)
    while not over.wait(LOOK_SECONDS):
        for each in sites:
            if not each.started and (each.workspace / WANTED).exists():
                each.started = True
                if not each.failed:
                    threading.Thread(target=_start, args=(calls, each, say), daemon=True).start()
                else:
                    each.hear({"ended": 1})
    for each in sites:
        with suppress(FedAssetsError):
            header = {"do": "close", "hospital": each.hospital, "site": each.site}
            calls.ask(header, (), 0.5)


def _start(calls: Calls, site: _Site, say: Callable[[str], None]) -> None:
    startup = site.workspace / "startup"
    try:
        files = {path.name: path.read_bytes() for path in startup.iterdir() if path.name in STARTUP}
        header = {
            "do": "start",
            "hospital": site.hospital,
            "site": site.site,
            "files": list(files),
            "port": _port(startup),
        }
        calls.ask(header, list(files.values()), OPEN_SECONDS)
    except (OSError, FedAssetsError) as error:
        if not (site.workspace / UNWANTED).exists():
            say(f"{site.hospital} takes no part: {error}")
        site.hear({"ended": 1})


def _port(startup: Path) -> int:
    (server,) = json.loads((startup / "fed_client.json").read_text())["servers"]
    return int(str(server["service"]["target"]).rpartition(":")[2])


def _plain(name: str) -> str:
    """Returns a job's id, which names a file, without what leads elsewhere."""
    return "".join(letter for letter in name if letter.isalnum() or letter in "-_")[:64]
