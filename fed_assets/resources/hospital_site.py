"""A hospital's site of one federation, on its own machine: NVFlare's client and its jobs.

Its key is made here. What of its start-up kit comes from elsewhere is certificates, and nothing
that says what may run: that is written here, from the sandbox as this machine knows it.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping
from typing import Any

from fed_assets.errors import HostRefused
from fed_assets.federation.ended import ENDED_FOLDER
from fed_assets.federation.half_done import clear_half_done
from fed_assets.federation.origin import Process, stop
from fed_assets.federation.plan import PLAN_FILE, FederationPlan
from fed_assets.federation.policies import HOST, write_hospital_policies
from fed_assets.federation.site import PLACES, SITES, TEMPORARY, Site
from fed_assets.federation.site_key import make_site_key
from fed_assets.hosts.identity import Identity
from fed_assets.hosts.outgoing import Pipes
from fed_assets.resources.home import Home
from fed_assets.resources.hospital_runner import LocalHospitalRunner
from fed_assets.resources.kept import kept_by_all
from fed_assets.resources.remote_sites import STARTUP
from fed_assets.sandboxes.controls import Process as ProcessControl
from fed_assets.sandboxes.sandbox import Sandbox

KEPT_RUNS = 5
GRACE_SECONDS = 5.0
RUN = re.compile(r"[0-9a-zA-Z_-]{1,40}")


class HospitalSite:
    """One site; `close` it after, whatever happened.

    Args:
        home: This machine's.
        identity: Whose machine it is.
        sandbox: The federation's, as this machine knows it.
        asked: What whoever runs it says of it: `run`, `site`, `hospitals`, `quorum`.
        runner: What starts its processes; it is this object's from now on.

    Attributes:
        run: The run's name.
    """

    def __init__(
        self,
        home: Home,
        identity: Identity,
        sandbox: Sandbox,
        asked: Mapping[str, Any],
        runner: LocalHospitalRunner,
    ) -> None:
        self.run = str(asked["run"])
        if not RUN.fullmatch(self.run):
            raise HostRefused("A federation's run has a name that names no folder")
        self._home = home
        self._identity = identity
        self._sandbox = sandbox
        self._asked = asked
        self._runner = runner
        self._folder = home.federation(sandbox.name, self.run)
        self._workspace = self._folder / SITES / identity.hospital
        self._pipes: Pipes | None = None
        self._process: Process | None = None
        self._told: set[str] = set()
        self._own = False  # whether what lies in the folder is this object's

    def open(self) -> str:
        """Makes the site's folder and key, and has what starts its processes load.

        Returns:
            The key's public half, as PEM.

        Raises:
            HostRefused: There is such a site already.
            FedAssetsError: The sandbox cannot be confined here.
        """
        if self._workspace.exists():
            raise HostRefused("This machine has taken part in that run already")
        self._own = True
        hospital = self._identity.hospital
        for folder in (
            *(self._workspace / "startup", self._workspace / "local"),
            *(self._workspace / ENDED_FOLDER, self._folder / TEMPORARY / hospital),
            self._folder / PLACES,
        ):
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._plan().write(self._folder / PLAN_FILE)
        key = make_site_key(self._workspace / "startup")
        if self._sandbox.process is ProcessControl.CONFINED:
            self._runner.confine_site(self._sandbox, self._folder)
        self._runner.origin()
        return key

    def start(self, files: Mapping[str, bytes]) -> None:
        """Starts NVFlare's client, which calls at its server through the door.

        Args:
            files: Of its start-up kit: certificates, and the shared key of what is encrypted.

        Raises:
            HostRefused: Something else was sent.
        """
        hospital, startup = self._identity.hospital, self._workspace / "startup"
        if strange := sorted(set(files) - set(STARTUP)):
            raise HostRefused(
                "A site's start-up kit holds what it may not", seen=", ".join(strange)[:80]
            )
        for name, content in files.items():
            (startup / name).write_bytes(content)
            (startup / name).chmod(0o600)
        self._pipes = Pipes(self._identity, str(self._asked["site"]))
        (startup / "fed_client.json").write_text(json.dumps(self._client(self._pipes.port)))
        write_hospital_policies(self._plan(), hospital, self._workspace)
        if self._sandbox.process is ProcessControl.CONFINED:
            self._runner.hand_over(self._folder)
        program = Site(hospital, str(self._workspace)).main_program()
        self._process = self._runner.origin().start(hospital, program)

    def events(self) -> Iterator[dict[str, Any]]:
        """Yields what has become of its processes since it was last asked."""
        for path in sorted((self._workspace / ENDED_FOLDER).glob("*.json")):
            if path.name not in self._told:
                self._told.add(path.name)
                yield {"job": path.stem, "code": json.loads(path.read_text())["code"]}
        code = self._process.ended() if self._process else None
        if code is not None and "client" not in self._told:
            self._told.add("client")
            yield {"ended": code}

    def close(self) -> None:
        """Ends all of it, and removes its key."""
        if self._process is not None:
            stop([self._process], grace_seconds=GRACE_SECONDS)
        if self._pipes is not None:
            self._pipes.close()
        self._runner.close()
        if not self._own:
            return
        clear_half_done(self._folder)
        self._home.forget_federations(self._sandbox.name, keep=KEPT_RUNS)

    def _client(self, port: int) -> dict[str, Any]:
        """Returns the client's configuration, as NVFlare's provisioning writes it."""
        return {
            "format_version": 2,
            "require_signed_jobs": True,
            "servers": [
                {
                    "name": self._sandbox.name,
                    "service": {"target": f"{HOST}:{port}", "scheme": "tcp"},
                    "identity": HOST,
                }
            ],
            "client": {
                "ssl_private_key": "client.key",
                "ssl_cert": "client.crt",
                "ssl_root_cert": "rootCA.pem",
                "fqsn": self._identity.hospital,
                "is_leaf": True,
                "connection_security": str(self._sandbox.transport),
            },
        }

    def _plan(self) -> FederationPlan:
        """Returns the federation as this site keeps to it: by its own sandbox, whoever asks."""
        hospital, sandbox = self._identity.hospital, self._sandbox
        hospitals = tuple(map(str, self._asked["hospitals"]))
        if hospital not in hospitals:
            raise HostRefused("A federation was opened in which this hospital is not")
        return FederationPlan(
            sandbox=sandbox.name,
            transport=str(sandbox.transport),
            job_code=str(sandbox.job_code),
            hospitals=hospitals,
            **kept_by_all(self._home, sandbox, [hospital]),
            remote=dict.fromkeys(set(hospitals) - {hospital}, "elsewhere"),
            aggregation=sandbox.rule.as_record(),
            folder=str(self._folder),
            outbox=str(self._folder / "outbox"),
            initial_weights=os.devnull,
            rounds=1,
            seed=0,
            recipe={},
            network={},
            classes=2,
            channels=1,
            quorum=int(self._asked["quorum"]),
            process=str(sandbox.process),
        )
