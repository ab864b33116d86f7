"""A hospital's own machine at work: it answers what comes through the door, with its own processes.

What a hospital's process does, and how it is kept in, is the same as on the orchestrator's machine:
`LocalHospitalRunner` does it here too. What may be asked for, the hospital's settings say.
"""

from __future__ import annotations

import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from fed_assets.errors import FedAssetsError, HostRefused, WorkerFailed
from fed_assets.hosts.identity import Identity
from fed_assets.hosts.outgoing import Outgoing
from fed_assets.resources.hospital_runner import LocalHospitalRunner
from fed_assets.resources.hospital_site import HospitalSite
from fed_assets.resources.host_settings import (
    HostSettings,
    own_arguments,
    own_paths,
    require_accepted,
)
from fed_assets.resources.settings import Settings
from fed_assets.resources.shared_weights import clear_shared
from fed_assets.sandboxes.controls import Process
from fed_assets.sandboxes.enforcement import require_enforced
from fed_assets.sandboxes.sandbox import Sandbox

# A runner holds templates, of 0.5 GB together; it goes when nothing was asked of it for so long.
IDLE_SECONDS = 120.0
LOOK_SECONDS = 0.5
# Who waits for one federation gives it up after so long: whoever started it is gone.
OPEN_SECONDS = 600.0
AT_ONCE = 8


class HospitalHost:
    """Answers for one hospital.

    Args:
        chosen: Where this machine's home and data are.
        identity: Who it is.
        settings: What the hospital lets it do.
        say: Called with a sentence for a person.
        one_federation: Whether it is there for one federation alone, and stops when that is over,
            or when none was opened in good time.
    """

    def __init__(
        self,
        chosen: Settings,
        identity: Identity,
        settings: HostSettings,
        say: Callable[[str], None],
        *,
        one_federation: bool = False,
    ) -> None:
        self._chosen = chosen
        self._identity = identity
        self._settings = settings
        self._say = say
        self._lock = threading.Lock()
        self._known: set[str] = set()  # of requests, for what comes twice is done once
        self._runners: dict[str, tuple[LocalHospitalRunner, float]] = {}
        self._busy: dict[str, int] = {}
        self._sites: dict[str, HospitalSite] = {}
        self._link = Outgoing(identity, self._hear, self._open_sites, say)
        self._over = threading.Event()
        self._one_federation = one_federation
        self._unopened_since: float | None = time.monotonic()
        self._served = self._refused = False
        # What is forked dies with the thread that asked for it first: these stay.
        self._answering = ThreadPoolExecutor(AT_ONCE)

    def run(self) -> None:
        """Answers until `stop`.

        Raises:
            DoorUnreachable: The door refuses this machine.
        """
        threading.Thread(target=self._look_after, daemon=True).start()
        try:
            self._link.run()
        finally:
            self._over.set()
            for site in list(self._sites):
                self._close({"site": site})
            with self._lock:
                for name in list(self._runners):
                    self._part_with(name)
            self._answering.shutdown(wait=False, cancel_futures=True)

    def stop(self) -> None:
        """Ends `run`."""
        self._link.stop()

    def ask(
        self, sandbox: Sandbox, task: str, arguments: Mapping[str, Any], peer: str
    ) -> dict[str, Any]:
        """Returns what the hospital's own process answers to a task. Raises what that does."""
        runner = self._runner(sandbox)
        try:
            return runner.ask_for(peer, sandbox, self._identity.hospital, task, arguments)
        finally:
            with self._lock:
                self._busy[sandbox.name] -= 1
                self._runners[sandbox.name] = (runner, time.monotonic())

    def _open_sites(self) -> list[str]:
        return list(self._sites)

    def _hear(self, header: dict[str, Any], attachments: list[bytes]) -> None:
        name = str(header.get("request", ""))
        if name in self._known and name:
            return
        self._known.add(name)
        self._answering.submit(self._answer, header, attachments)

    def _answer(self, header: dict[str, Any], attachments: list[bytes]) -> None:
        said: dict[str, Any]
        try:
            match header.get("do"):
                case "ask":
                    said = {"result": self._asked(header, attachments)}
                case "open":
                    said = {"result": self._open(header)}
                case "draw":
                    said = {"result": self._draw(header)}
                case "start":
                    said = {"result": self._start(header, attachments)}
                case "close":
                    said = {"result": self._close(header)}
                case _:
                    raise HostRefused("This machine was asked for what it does not know")
        except FedAssetsError as error:
            said = {"error": {**error.as_record(), "outbox": error.outbox}}
            self._say(f"{header.get('do')} was answered with: {error}")
        except Exception as error:  # its text may name a file
            unforeseen = WorkerFailed(
                f"The machine of {self._identity.hospital} came upon an error that nobody foresaw",
                seen=type(error).__name__,
            )
            said = {"error": unforeseen.as_record()}
            self._say(f"{header.get('do')} failed: {type(error).__name__}: {error}")
        if "request" in header:
            self._link.put({"request": header["request"], **said})
        if header.get("do") == "open" and "error" in said:
            self._refused = True

    def _sandbox(self, header: Mapping[str, Any]) -> Sandbox:
        found = require_accepted(self._settings, header["sandbox"], self._chosen.configurable)
        return require_enforced(found)

    def _asked(self, header: Mapping[str, Any], attachments: list[bytes]) -> dict[str, Any]:
        sandbox, task = self._sandbox(header), str(header["task"])
        arguments = own_arguments(self._settings, task, header["arguments"], self._chosen, sandbox)
        folder = self._chosen.home.temporary
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        received = Path(tempfile.mkdtemp(prefix="received-", dir=folder))
        try:
            for name, content in zip(header["files"], attachments, strict=True):
                if name not in ("weights", "other_weights"):
                    raise HostRefused("A file was sent for what takes none", seen=str(name)[:40])
                path = received / f"{name}.safetensors"
                path.write_bytes(content)
                arguments[name] = str(path)
            return self.ask(sandbox, task, arguments, str(header["peer"])[:80])
        finally:
            shutil.rmtree(received, ignore_errors=True)

    def _runner(self, sandbox: Sandbox) -> LocalHospitalRunner:
        with self._lock:
            found = self._runners.get(sandbox.name)
            runner = found[0] if found else self._new_runner("")
            if found is None and sandbox.process is Process.CONFINED:
                runner.confine_site(sandbox)
            self._runners[sandbox.name] = (runner, time.monotonic())
            self._busy[sandbox.name] = self._busy.get(sandbox.name, 0) + 1
            return runner

    def _new_runner(self, network: str) -> LocalHospitalRunner:
        hospital = self._identity.hospital
        return LocalHospitalRunner(
            home_folder=str(self._chosen.home.root),
            hospitals=[hospital],
            network=network,
            configurable=str(self._chosen.configurable),
            sources={hospital: own_paths(self._settings, self._chosen)},
        )

    def _open(self, header: Mapping[str, Any]) -> dict[str, Any]:
        sandbox = self._sandbox(header)
        runner = self._new_runner(str(header["network"]))
        site = HospitalSite(self._chosen.home, self._identity, sandbox, header, runner)
        try:
            key = site.open()
        except BaseException:
            site.close()
            raise
        with self._lock:
            self._sites[str(header["site"])] = site
            self._unopened_since = None
        self._say(f"A federation of {sandbox.name} was opened, run {header['run']}.")
        return {"public_key": key}

    def _draw(self, header: Mapping[str, Any]) -> dict[str, Any]:
        sealed = self._site(header).draw(dict(header["public_keys"]))
        return {"sealed": {name: content.hex() for name, content in sealed.items()}}

    def _start(self, header: Mapping[str, Any], attachments: list[bytes]) -> dict[str, Any]:
        self._site(header).start(dict(zip(header["files"], attachments, strict=True)))
        return {}

    def _site(self, header: Mapping[str, Any]) -> HospitalSite:
        site = self._sites.get(str(header["site"]))
        if site is None:
            raise HostRefused("This machine takes part in no such federation")
        return site

    def _close(self, header: Mapping[str, Any]) -> dict[str, Any]:
        with self._lock:
            site = self._sites.pop(str(header["site"]), None)
        if site is not None:
            site.close()
            self._say(f"The federation of run {site.run} is over.")
            self._served = True
        return {}

    def _look_after(self) -> None:
        """Tells what becomes of sites, and gives up what nobody uses."""
        while not self._over.wait(LOOK_SECONDS):
            for name, site in list(self._sites.items()):
                for event in site.events():
                    self._link.put({"site": name, "event": event})
            with self._lock:
                for name, (_, used) in list(self._runners.items()):
                    idle = not self._busy.get(name) and time.monotonic() - used > IDLE_SECONDS
                    if idle:
                        self._part_with(name)
            if self._one_federation and self._is_over():
                self._link.stop()

    def _is_over(self) -> bool:
        """Returns whether the one federation has ended, was refused here, or never begins."""
        if self._served or (self._refused and not self._sites and not self._link.is_waiting):
            return True
        since = self._unopened_since
        return since is not None and time.monotonic() - since > OPEN_SECONDS

    def _part_with(self, sandbox: str) -> None:
        """Ends what works for a sandbox, and removes what it was given to read."""
        self._runners.pop(sandbox)[0].close()
        clear_shared(self._chosen.home.shared(sandbox))
