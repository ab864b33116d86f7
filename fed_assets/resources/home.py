"""The one folder under which everything that fed_assets writes lies."""

from __future__ import annotations

import shutil
import uuid
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from fed_assets.containers.issuing import DEAD
from fed_assets.containers.place import PLACE_FILE
from fed_assets.errors import RunConfigError, StorageError
from fed_assets.resources.instance_settings import INSTANCE_SETTINGS, settle

PROBE_BYTES = 1 << 20
# Does neutral work on open data: the initial weights, the common test set.
COORDINATOR = "coordinator"


class StoredOn(StrEnum):
    """What lasts of a home: this machine's disk, or containers of Azure's storage that back it."""

    DISK = "disk"
    BLOB = "blob"


@dataclass(frozen=True)
class Home:
    """The home folder and the places in it; nothing is created before `prepare`.

    Attributes:
        root: The folder.
        instance_settings: The settings of Dagster's instance, of which `prepare` puts a copy there.
    """

    root: Path
    stored_on: StoredOn = StoredOn.DISK
    instance_settings: Path = INSTANCE_SETTINGS

    @property
    def on_containers(self) -> bool:
        """Returns whether containers of Azure's storage back the home."""
        return self.stored_on is StoredOn.BLOB

    @property
    def instance(self) -> Path:
        """Returns Dagster's own folder, its DAGSTER_HOME."""
        return self.root / "dagster"

    @property
    def artifacts(self) -> Path:
        """Returns the folder of what assets hand on: tables, digests, reports."""
        return self.root / "artifacts"

    @property
    def cache(self) -> Path:
        """Returns the folder of fetched public data."""
        return self.root / "cache"

    @property
    def temporary(self) -> Path:
        """Returns the folder for what a library may write for a moment."""
        return self.root / "tmp"

    def audit(self, run: str) -> Path:
        """Returns the folder of one run's attempts on a sandbox, which holds keys meanwhile."""
        return self.temporary / f"audit-{run[:8]}"

    @property
    def tracking(self) -> Path:
        """Returns MLflow's folder: its sqlite file and its artifacts."""
        return self.root / "mlflow"

    @property
    def all_models(self) -> Path:
        """Returns the folder of all sandboxes' registered versions."""
        return self.root / "models"

    def models(self, sandbox: str) -> Path:
        """Returns the folder of a sandbox's registered versions, and of the log of which served."""
        return self.all_models / sandbox

    @property
    def lineage(self) -> Path:
        """Returns the folder of what each run's model was made of."""
        return self.root / "lineage"

    @property
    def hospitals(self) -> Path:
        """Returns the folder that holds each hospital's own."""
        return self.root / "hospitals"

    def hospital(self, hospital: str) -> Path:
        """Returns the folder of all that is one hospital's: stores and keys."""
        return self.hospitals / hospital

    def shared(self, sandbox: str) -> Path:
        """Returns the folder of what confined hospitals are given to read: global weights."""
        return self.root / "shared" / sandbox

    def store(self, hospital: str, sandbox: str) -> Path:
        """Returns the one folder that a hospital's images and files never leave."""
        return self.root / "hospitals" / hospital / sandbox

    def key_file(self, hospital: str, sandbox: str) -> Path:
        """Returns the file of the key of a hospital's sealed store: the hospital's, and outside it.

        A machine of the hospital's own would hold it elsewhere still, out of the store's backups.
        """
        return self.root / "hospitals" / hospital / "keys" / f"{sandbox}.json"

    def container(self, party: str) -> Path:
        """Returns a party's own file of which container backs its store, and of what opens that.

        The coordinator's is the orchestrator's, which holds what assets hand on too.
        """
        own = self.root if party == COORDINATOR else self.hospital(party)
        return own / "keys" / PLACE_FILE

    def dead_containers(self, party: str) -> dict[str, Path]:
        """Returns the files of tokens that must not open the party's container, by why not."""
        own = self.container(party)
        return {why: own.with_name(f"{own.stem}.{why}{own.suffix}") for why in DEAD}

    def approval(self, hospital: str, sandbox: str) -> Path:
        """Returns the hospital's own record of the code that it approved for a sandbox."""
        return self.root / "hospitals" / hospital / "keys" / f"{sandbox}.approval.json"

    def federation(self, sandbox: str, run: str) -> Path:
        """Returns the folder of one run's federation: its rounds, kits and logs."""
        return self.root / "federations" / sandbox / run[:8]

    @property
    def revocations(self) -> Path:
        """Returns the list of the hospitals whose certificates count no longer."""
        return self.root / "revoked.json"

    @property
    def withdrawals(self) -> Path:
        """Returns the list of the hospitals that withdrew.

        It has a folder of its own: confined runs are let into folders, and see a file that takes
        the place of another there.
        """
        return self.root / "withdrawn" / "withdrawn.json"

    def turn(self, sandbox: str) -> Path:
        """Returns the file that the one run of a sandbox holds that is under way."""
        return self.root / "turns" / sandbox

    def warm(self, sandbox: str) -> Path:
        """Returns the folder of the federation of a sandbox that stays up between runs."""
        return self.root / "warm" / sandbox

    def federations(self, sandbox: str) -> list[Path]:
        """Returns the folders of a sandbox's runs that trained, the newest first; `*` is any."""
        folders = (self.root / "federations").glob(f"{sandbox}/*")
        return sorted(folders, key=lambda run: run.stat().st_mtime, reverse=True)

    def forget_federations(self, sandbox: str, *, keep: int) -> None:
        """Removes all but the newest runs' federations of a sandbox, weights and logs included.

        For runs that succeeded: what failed since the last success may still be gone on from.
        """
        for run in self.federations(sandbox)[keep:]:
            shutil.rmtree(run, ignore_errors=True)

    def posture(self, sandbox: str) -> Path:
        """Returns the folder of what the last attempts on a sandbox showed."""
        return self.artifacts / "security_posture" / sandbox

    def posture_record(self, sandbox: str) -> Path:
        """Returns the file of it as JSON."""
        return self.posture(sandbox) / "posture.json"

    def report(self, sandbox: str) -> Path:
        """Returns the folder of a sandbox's last report."""
        return self.artifacts / "evaluation_report" / sandbox

    def measurement(self, sandbox: str, seed: int) -> Path:
        """Returns the file of what the last whole run of a sandbox with a seed measured."""
        return self.measurements / sandbox / f"seed_{seed}.json"

    def measured_weights(self, sandbox: str, seed: int) -> Path:
        """Returns the file of the last weights of the run that was measured."""
        return self.measurements / sandbox / f"seed_{seed}.safetensors"

    @property
    def measurements(self) -> Path:
        """Returns the folder of what runs measured, by sandbox."""
        return self.artifacts / "measurements"

    @property
    def comparison(self) -> Path:
        """Returns the folder of the last comparison of the sandboxes."""
        return self.artifacts / "sandbox_comparison"

    @property
    def reference(self) -> Path:
        """Returns the folder of the reference models' weights."""
        return self.artifacts / "reference_models"

    @property
    def models_key(self) -> Path:
        """Returns the file of the key that packages of models are signed with; `.pub` beside it."""
        return self.root / "keys" / "models.key"

    @property
    def hosts(self) -> Path:
        """Returns the folder of the authority for hospitals on hosts of their own; and its list."""
        return self.root / "hosts"

    @property
    def host(self) -> Path:
        """Returns the folder in which a hospital's own machine keeps who it is."""
        return self.root / "host"

    def prepare(self) -> Home:
        """Creates the home, open to its owner alone, with Dagster's settings; returns it.

        Raises:
            RunConfigError: its path holds white space, at which NVFlare splits command lines; or
                the settings of Dagster's instance cannot be read.
            StorageError: the folder cannot be created or written.
        """
        if any(character.isspace() for character in str(self.root)):
            raise RunConfigError(
                "The home's path holds white space, which NVFlare cannot use",
                where=str(self.root),
                cure="Set FED_ASSETS_HOME to a path without any",
            )
        try:
            self.root.mkdir(parents=True, exist_ok=True, mode=0o700)
            if self.root.stat().st_mode & 0o067:  # confined hospitals pass it as members of a group
                self.root.chmod(0o700)
            self.instance.mkdir(exist_ok=True, mode=0o700)
            place = self.container(COORDINATOR) if self.on_containers else None
            settle(self.instance, self.instance_settings, logs_to=place)
            self.tracking.mkdir(exist_ok=True, mode=0o700)
            self._probe()
        except OSError as error:
            raise StorageError(
                f"The home folder cannot be written: {error.strerror}", where=str(self.root)
            ) from None
        return self

    def _probe(self) -> None:
        probe = self.root / f".probe-{uuid.uuid4().hex}"
        try:
            # On a full disk an empty file can still be made; Dagster's own tables need this much.
            probe.write_bytes(bytes(PROBE_BYTES))
        finally:
            probe.unlink(missing_ok=True)
