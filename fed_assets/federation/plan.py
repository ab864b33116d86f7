"""One federation run, written down: everything that its processes need to know."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from fed_assets.errors import RunConfigError
from fed_assets.federation.plan_faults import faults_of
from fed_assets.privacy.masking_terms import threshold
from fed_assets.sandboxes.controls import UpdateProtection
from fed_assets.sandboxes.protection import SUM_ALONE, Protection, Rule

SERVER = "server"
PLAN_FILE = "plan.json"


@dataclass(frozen=True, kw_only=True)
class FederationPlan:
    """What one run of the federation does, with whom, where, and for how long at most.

    Attributes:
        sandbox: Name of the sandbox; it also names NVFlare's project.
        transport: `mtls`, or `clear` for readable connections.
        job_code: `preinstalled` refuses every job that brings code of its own; `submitted` runs it;
            `measured` refuses it, and has hospitals prove in each round that theirs is approved.
        hospitals: Ids of the hospitals that take part; NVFlare's sites bear them.
        stores: Absolute path of each hospital's store.
        remote: The public key of each hospital on a host of its own, which keeps its files where it
            likes: neither store nor key file of it stand here.
        storage: How hospitals keep their files there: `plain` or `sealed`.
        key_custody: Who holds the keys of what is sealed: `hospital`, `attested` or
            `azure_key_vault`, or `none` where files are plain.
        key_files: Absolute path of each hospital's key file, for `hospital` and `attested`.
        approvals: Absolute path of each hospital's record of approved code, for `attested`.
        vault_keys: URL of each hospital's key, for `azure_key_vault`.
        suppress_below: Counts from 1 on that are less do not leave a hospital; 0 suppresses none.
        update_protection: What hospitals do to their updates; see `Protection.as_record`.
        aggregation: The rule by which updates become one; see `Rule.as_record`.
        containers: Absolute path of each hospital's `container.json`, where containers back stores.
        folder: Absolute path of this run's own folder, for certificates, logs, NVFlare's own state.
        outbox: Absolute path of the folder into which finished rounds are published.
        initial_weights: Absolute path of the safetensors file that the first round starts from.
        rounds: Number of the last round.
        start_round: Number of the first round: 1, or more to go on where another run ended.
        seed: Seed of the hospitals' local training.
        recipe: How hospitals train, as the hospitals' executor reads it.
        network: The network's config, as the hospitals' executor reads it.
        classes: Number of classes.
        channels: Number of image channels.
        quorum: Fewest hospitals without which a round is not aggregated.
        revocations: Absolute path of the list of revoked hospitals; nobody is where it is left out.
        data_digest: One digest of the images of all hospitals that take part.
        port: Loopback port of the server; 0 takes a free one.
        start_timeout_seconds: How long server and clients may take to be ready.
        round_timeout_seconds: How long a round waits for hospitals; it then goes on without them.
            A server that answers nothing for as long ends the run.
            Of a round in phases it is how long each waits, and those without training a minute.
        total_timeout_seconds: Hard limit of the whole run.
        certificate_seconds: How long its certificates are valid; 0 takes the hard limit and slack.
        executor: Class that does a hospital's part of a round, importable in its process.
        process: What its processes are, as the sandbox says it; `confined` takes walls.
    """

    sandbox: str
    transport: str
    job_code: str
    hospitals: tuple[str, ...]
    stores: Mapping[str, str]
    folder: str
    outbox: str
    initial_weights: str
    rounds: int
    seed: int
    recipe: Mapping[str, Any]
    network: Mapping[str, Any]
    classes: int
    channels: int
    quorum: int
    storage: str = "plain"
    key_custody: str = "none"
    key_files: Mapping[str, str] = field(default_factory=dict)
    suppress_below: int = 0
    update_protection: Mapping[str, Any] = field(default_factory=lambda: Protection().as_record())
    aggregation: Mapping[str, Any] = field(default_factory=lambda: Rule().as_record())
    revocations: str = ""
    approvals: Mapping[str, str] = field(default_factory=dict)
    vault_keys: Mapping[str, str] = field(default_factory=dict)
    remote: Mapping[str, str] = field(default_factory=dict)
    containers: Mapping[str, str] = field(default_factory=dict)
    data_digest: str = ""
    start_round: int = 1
    port: int = 0
    start_timeout_seconds: float = 90.0
    round_timeout_seconds: float = 600.0
    total_timeout_seconds: float = 3600.0
    certificate_seconds: float = 0.0
    executor: str = "fed_assets.hospital.executor.HospitalExecutor"
    process: str = "own"

    def __post_init__(self) -> None:
        object.__setattr__(self, "hospitals", tuple(self.hospitals))
        Protection.of(self.update_protection)
        rule = Rule.of(self.aggregation)
        for fault in faults_of(self):
            raise RunConfigError("The federation's plan cannot be carried out", seen=fault)
        rule.require_quorum(self.quorum)

    def kept(self, hospital: str) -> dict[str, Any]:
        """Returns where and how a hospital keeps its files, and which counts, for its processes."""
        kept: dict[str, Any] = {
            "store": self.stores[hospital],
            "storage": self.storage,
            "key_custody": self.key_custody,
            "suppress_below": self.suppress_below,
        }
        places = {
            "key_file": self.key_files,
            "approval": self.approvals,
            "vault_key": self.vault_keys,
            "container": self.containers,
        }
        return kept | {name: each[hospital] for name, each in places.items() if hospital in each}

    @property
    def hides_updates(self) -> bool:
        """Whether the server learns the sum of the updates alone."""
        return self.update_protection["kind"] in SUM_ALONE

    @property
    def encrypts(self) -> bool:
        """Whether hospitals encrypt their updates by a key that they share."""
        return bool(self.update_protection["kind"] == UpdateProtection.HOMOMORPHIC_ENCRYPTION)

    @property
    def threshold(self) -> int:
        """Fewest hospitals whose hidden updates may be added up."""
        return threshold(len(self.hospitals), self.quorum)

    def write(self, path: Path) -> None:
        """Writes the plan as JSON, whole or not at all."""
        partial = path.with_name(f".{path.name}.partial")
        partial.write_text(json.dumps(asdict(self), indent=1, sort_keys=True))
        partial.replace(path)

    @classmethod
    def read(cls, path: Path) -> FederationPlan:
        """Returns the plan that `write` wrote.

        Raises:
            RunConfigError: There is no such file, or it holds no plan.
        """
        try:
            content = json.loads(path.read_text())
        except (OSError, ValueError) as error:
            raise RunConfigError(
                "The federation's plan cannot be read", where=str(path), seen=type(error).__name__
            ) from error
        return cls.from_json(content)

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> FederationPlan:
        """Returns the plan that a JSON object holds.

        Raises:
            RunConfigError: A field is unknown or missing, or a value cannot be carried out.
        """
        unknown = set(content) - {each.name for each in fields(cls)}
        if unknown:
            raise RunConfigError(
                "The federation's plan holds unknown fields", seen=", ".join(sorted(unknown))
            )
        try:
            return cls(**content)
        except TypeError as error:
            raise RunConfigError("The federation's plan is incomplete", seen=str(error)) from error
