"""One hospital's files: all of them plain, or all of them sealed."""

from __future__ import annotations

import fcntl
import os
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, cast

from fed_assets.errors import RunConfigError
from fed_assets.hospital.attestation.attested_key import attested_key
from fed_assets.hospital.custody import HospitalKey, KeyProvider
from fed_assets.hospital.envelope import Binding, bind
from fed_assets.hospital.key_vault import key_vault_key
from fed_assets.hospital.once import put_once
from fed_assets.hospital.vault import SealedReader, SealingWriter
from fed_assets.sandboxes.controls import KeyCustody, Storage

DATASETS = "datasets"
LOCK = "privacy.lock"  # of the privacy ledger, on this machine
HALF_WRITTEN = ".partial-"  # and the id of the process that writes it


@dataclass(frozen=True)
class Store:
    """Where a hospital keeps its files, and how.

    Attributes:
        folder: Where it lies.
        hospital: Whose it is; what is sealed is bound to it.
        keys: What wraps the keys of its files; None where files are plain.
        container: Its hospital's own file that says which container backs it; None where none does.
    """

    folder: Path
    hospital: str = ""
    keys: KeyProvider | None = None
    container: Path | None = None

    @classmethod
    def of(cls, hospital: str, record: Mapping[str, Any]) -> Store:
        """Returns the store that a hospital's process was told of; no key is touched yet.

        Args:
            hospital: Whose it is.
            record: `store`, its absolute path; `storage` and `key_custody`, the sandbox's controls;
                `key_file`, an absolute path, for the custodies `hospital` and `attested`; and
                `approval`, another, for the latter; or `vault_key`, a URL, for `azure_key_vault`;
                and `container`, an absolute path, where one backs it.

        Raises:
            RunConfigError: There is no way to keep files so.
        """
        storage, custody = record.get("storage"), record.get("key_custody")
        names = ("store", "key_file", "approval")
        paths = [Path(str(record.get(name, ""))) for name in names]
        absolute = [path.is_absolute() for path in paths]
        container = Path(str(record["container"])) if "container" in record else None
        if container is not None and not container.is_absolute():
            absolute[0] = False
        match storage, custody:
            case Storage.PLAIN, KeyCustody.NONE if absolute[0]:
                return cls(paths[0], hospital, None, container)
            case Storage.SEALED, KeyCustody.HOSPITAL if all(absolute[:2]):
                return cls(paths[0], hospital, HospitalKey(paths[1], hospital), container)
            case Storage.SEALED, KeyCustody.ATTESTED if all(absolute):
                return cls(paths[0], hospital, attested_key(hospital, *paths[1:]), container)
            case Storage.SEALED, KeyCustody.AZURE_KEY_VAULT if (
                absolute[0] and "vault_key" in record
            ):
                return cls(paths[0], hospital, key_vault_key(str(record["vault_key"])), container)
        raise RunConfigError(
            "A hospital's process was not told how to keep the hospital's files",
            where=f"hospital {hospital}",
            seen=f"storage={storage}, key_custody={custody}",
            cure="Use the same version of fed_assets on both sides, with absolute paths",
        )

    @contextmanager
    def create(self, path: Path) -> Iterator[IO[bytes]]:
        """Yields a new file of the store, to be written in a stream.

        Raises:
            KeyRefused: The hospital's key cannot be used.
            OSError: The file cannot be written.
        """
        if self.keys is None:
            with path.open("xb", buffering=2**20) as file:
                yield file
        else:
            with SealingWriter(path, self.binding(path), self.keys) as sealing:
                yield cast("IO[bytes]", sealing)

    @contextmanager
    def open(self, path: Path) -> Iterator[IO[bytes]]:
        """Yields a file of the store, to be read at any place.

        Raises:
            SealBroken: It is not what was sealed there.
            KeyRefused: The hospital's key cannot be used, or does not open it.
            OSError: It is not there, or cannot be read.
        """
        if self.keys is None:
            with path.open("rb") as file:
                yield file
        else:
            with self.sealed(path) as sealed:
                yield cast("IO[bytes]", sealed)

    def sealed(self, path: Path) -> SealedReader:
        """Returns a file of a sealed store; the caller closes it. Raises what `open` does."""
        if self.keys is None:
            raise ValueError("a plain store has no sealed files")
        with self.turn():
            return SealedReader(path, self.binding(path), self.keys)

    def read(self, path: Path) -> bytes:
        """Returns what is in a file of the store. Raises what `open` does."""
        with self.open(path) as file:
            return file.read()

    def write(self, path: Path, content: bytes, *, once: bool = False) -> None:
        """Writes a small file in one step: a reader sees the old one or the new one.

        Args:
            path: Where.
            content: What.
            once: Whether a file that is there already stays.

        Raises:
            KeyRefused: The hospital's key cannot be used.
            OSError: The file cannot be written.
        """
        fresh = path.with_name(f"{HALF_WRITTEN}{os.getpid()}-{secrets.token_hex(4)}")
        with self.turn():
            try:
                if self.keys is None:
                    fresh.touch(mode=0o600)
                    fresh.write_bytes(content)
                else:
                    with SealingWriter(fresh, self.binding(path), self.keys) as file:
                        file.write(content)
                if once:
                    with suppress(FileExistsError):
                        put_once(fresh, path)
                else:
                    fresh.replace(path)
            finally:
                fresh.unlink(missing_ok=True)

    def move_into(self, folder: Path, made_in: Path) -> None:
        """Binds the files that were made in one folder to another, to which it is then renamed.

        Raises:
            SealBroken: One is not what was sealed there.
            KeyRefused: The hospital's key cannot be used.
        """
        if self.keys is not None:
            for path in made_in.iterdir():
                bind(path, self.binding(path), self.binding(folder / path.name), self.keys)

    def binding(self, path: Path) -> Binding:
        """Returns what a file at this place is: a dataset's folder bears its version's name."""
        place = path.relative_to(self.folder)
        version = place.parts[1] if place.parts[0] == DATASETS else ""
        return Binding(self.hospital, version, place.as_posix())

    @contextmanager
    def turn(self, *, alone: bool = False) -> Iterator[None]:
        """Keeps a sealed store's key from being rotated meanwhile; `alone` is for the rotation."""
        if self.keys is None:
            yield
            return
        folder = os.open(self.folder, os.O_RDONLY | os.O_CLOEXEC)
        try:
            fcntl.flock(folder, fcntl.LOCK_EX if alone else fcntl.LOCK_SH)
            yield
        finally:
            os.close(folder)
