"""Hospitals on hosts of their own, as a run reaches them: through the door, see `hosts`."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

from fed_assets.errors import FedAssetsError
from fed_assets.federation.agreed_rule import require_key_apart
from fed_assets.federation.plan import FederationPlan
from fed_assets.federation.site import SITES
from fed_assets.federation.site_key import rsa_key, throwaway_key
from fed_assets.hosts.calls import Calls
from fed_assets.hosts.desk_socket import reach_desk
from fed_assets.resources.remote_sites import OPEN_SECONDS, RemoteSite, share_key, watch
from fed_assets.resources.shared_weights import read_weights
from fed_assets.sandboxes.sandbox import Sandbox

KIT_SECONDS = 30.0


class Machines(Protocol):
    """Brings up machines that are there for one federation alone."""

    def bring_up(self, hospital: str, lost: Callable[[str], None]) -> None:
        """Returns when a hospital's machine is connected; at once for those that others bring up.

        Args:
            hospital: Its id.
            lost: Called with why, where the machine ends before it should.

        Raises:
            FedAssetsError: It does not come up.
        """

    def give_up(self) -> None:
        """Ends all of them."""


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

    def kit(self, hospital: str) -> str:
        """Returns a kit for the machine of a hospital that this run starts, as it is written.

        Raises:
            HostAway: No door is open, or a machine of the hospital's works for another run.
            FedAssetsError: There is no kit for it.
        """
        return str(
            self._connected().ask({"do": "kit", "hospital": hospital}, (), KIT_SECONDS)["kit"]
        )

    def is_connected(self, hospital: str) -> bool:
        """Returns whether a machine of a hospital's is connected.

        Raises:
            HostAway: No door is open.
        """
        told = self._connected().ask({"do": "who", "hospital": hospital}, (), KIT_SECONDS)
        return hospital in told["connected"]

    @contextmanager
    def sites(
        self,
        sandbox: Sandbox,
        plan: FederationPlan,
        remote: Sequence[str],
        say: Callable[[str], None],
        machines: Machines | None = None,
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
            machines: What brings up the machines of those that have none yet.

        Raises:
            RunConfigError: They would share a key with hospitals here.
            HostAway: None of them draws the key that they share.
        """
        names = [name for name in plan.hospitals if name in remote]
        if not names:
            yield plan
            return
        if plan.encrypts:
            require_key_apart(names, plan.hospitals)
        run, folder = Path(plan.folder).name, Path(plan.folder) / SITES
        sites = {name: RemoteSite(name, uuid.uuid4().hex, folder, say) for name in names}
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
                if machines is not None:
                    machines.bring_up(name, sites[name].lose)
                key = str(self._connected().ask(header, (), OPEN_SECONDS).get("public_key"))
                rsa_key(key)  # or else it would be found as certificates are made, and end the run
                return key
            except FedAssetsError as error:
                sites[name].lose(error.what)
                say(f"{name} takes no part: {error}")
                return throwaway_key()

        opened = list(sites.values())
        with ThreadPoolExecutor(len(names)) as pool, _giving_up(machines):
            keys = dict(zip(names, pool.map(open_site, names), strict=True))
            if plan.encrypts:
                share_key(self._calls, opened, keys)
        over = threading.Event()
        watching = threading.Thread(target=watch, args=(self._calls, opened, over, say))
        watching.start()
        try:
            yield replace(plan, remote=keys)
        finally:
            over.set()
            watching.join()

    def _connected(self) -> Calls:
        with self._opening:
            if self._calls is None:
                self._calls = Calls(reach_desk(self._folder))
            return self._calls


@contextmanager
def _giving_up(machines: Machines | None) -> Iterator[None]:
    """Ends machines where the run is to end meanwhile, before anybody waits for them."""
    try:
        yield
    except BaseException:
        if machines is not None:
            machines.give_up()
        raise


def record_of(sandbox: Sandbox) -> dict[str, Any]:
    """Returns a sandbox as both sides compare it: by all that it promises."""
    return sandbox.model_dump(mode="json")
