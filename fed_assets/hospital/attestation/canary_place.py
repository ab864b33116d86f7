"""A hospital of an audit's own, whose key opens a canary and nothing else."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from pathlib import Path

from fed_assets.hospital.attestation.approval import approve
from fed_assets.hospital.custody import HospitalKey, KeyProvider
from fed_assets.hospital.files import Store

CANARY_BYTES = 4096


@dataclass(frozen=True)
class Place:
    """Where it keeps its canary, its key and its approval.

    Attributes:
        root: The folder of all such hospitals of one audit.
        hospital: Its id.
    """

    root: Path
    hospital: str

    def told(self) -> dict[str, str]:
        """Returns what its broker and its attester are told."""
        files = {"key_file": self.key_file, "approval": self.approval}
        return {"hospital": self.hospital, **{name: str(path) for name, path in files.items()}}

    @property
    def key_file(self) -> Path:
        """The file of its key."""
        return self.root / self.hospital / "keys" / "key.json"

    @property
    def approval(self) -> Path:
        """Its record of approved code."""
        return self.key_file.with_name("key.approval.json")

    @property
    def known(self) -> Path:
        """The canary in plain: whoever looks for it knows it."""
        return self.root / self.hospital / "known"

    def found(self) -> None:
        """Founds the hospital: it approves the code, draws a key, and seals a canary."""
        store = self._store(HospitalKey(self.key_file, self.hospital))
        store.folder.mkdir(parents=True, mode=0o700)
        approve(self.approval, self.hospital, "an audit")
        HospitalKey(self.key_file, self.hospital).provide()
        self.known.write_bytes(secrets.token_bytes(CANARY_BYTES))
        store.write(store.folder / "canary", self.known.read_bytes())

    def opens(self, keys: KeyProvider) -> bool:
        """Says whether a key opens the canary; raises what `Store.read` does."""
        store = self._store(keys)
        return store.read(store.folder / "canary") == self.known.read_bytes()

    def _store(self, keys: KeyProvider) -> Store:
        return Store(self.root / self.hospital / "store", self.hospital, keys)
