"""One hospital's key-encryption key: it wraps the key of every sealed file, and stays inside."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import secrets
import stat
import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Protocol

from cryptography.hazmat.primitives.keywrap import InvalidUnwrap, aes_key_unwrap, aes_key_wrap

from fed_assets.errors import KeyRefused

KEY_BYTES = 32
SETTLED_NS = 1_000_000_000


@dataclass(frozen=True)
class WrappedKey:
    """A file's own key as it stands in the file: encrypted, and by which key.

    Attributes:
        key_id: Names the key that opens it; no secret.
        wrapped: The file's key, encrypted.
    """

    key_id: str
    wrapped: bytes


class KeyProvider(Protocol):
    """Wraps and unwraps the keys of one hospital's files.

    The key that it does it with never comes out of it. Every method but `provide` raises
    `KeyRefused` where the key may not be used, and `CodeRefused` where this code may not use it.
    """

    @property
    def key_id(self) -> str:
        """Names the key that wraps from now on."""

    def provide(self) -> None:
        """Sees to it that there is a key, for a store in which nothing is sealed yet."""

    def wrap(self, data_key: bytes) -> WrappedKey:
        """Encrypts a file's key."""

    def unwrap(self, key: WrappedKey) -> bytes:
        """Returns a file's key."""

    def renew(self) -> None:
        """Wraps by a new key from now on, and keeps the old ones to unwrap with."""

    def forget_old(self) -> None:
        """Gives up all keys but the one that wraps: every file is wrapped by it now."""


@dataclass(frozen=True)
class HospitalKey:
    """The custody `hospital`: a key file that the hospital's own user alone may read.

    The file is JSON: `hospital`, and `keys` by their ids, in base64, of which the last one wraps.
    Who may read the file is looked at each time that a key is used.

    Attributes:
        path: The key file, outside the store, so that a copy of the store opens nothing.
        hospital: Whose it is.
    """

    path: Path
    hospital: str

    @property
    def key_id(self) -> str:
        """Names the key that wraps from now on."""
        return list(self._keys())[-1]

    def provide(self) -> None:
        """Draws a key into a new file, if there is no file.

        Raises:
            KeyRefused: The file cannot be written.
        """
        if not self.path.exists():
            self._write(_drawn(), once=True)

    def wrap(self, data_key: bytes) -> WrappedKey:
        """Encrypts a file's key, by RFC 3394."""
        key_id, key = list(self._keys().items())[-1]
        return WrappedKey(key_id, aes_key_wrap(key, data_key))

    def unwrap(self, key: WrappedKey) -> bytes:
        """Returns a file's key.

        Raises:
            KeyRefused: The file's key was wrapped by none of the hospital's keys, or was changed.
        """
        own = self._keys().get(key.key_id)
        if own is None:
            raise self._refused("It was sealed by a key that the hospital does not hold")
        try:
            return aes_key_unwrap(own, key.wrapped)
        except (InvalidUnwrap, ValueError):
            raise self._refused("Its key was changed, or is of another hospital") from None

    def renew(self) -> None:
        """Adds a key, which wraps from now on; one that an unfinished rotation added stays it.

        Copies of the file that a process left when it was killed are removed.
        """
        keys = self._keys()
        for left in self.path.parent.glob(f".{self.path.name}-*"):
            left.unlink(missing_ok=True)
        if len(keys) == 1:
            self._write({**keys, **_drawn()})

    def forget_old(self) -> None:
        """Leaves in the file only the key that wraps."""
        keys = self._keys()
        if len(keys) > 1:
            self._write({self.key_id: keys[self.key_id]})

    def for_release(self) -> Mapping[str, bytes]:
        """Returns every key by its id, for a broker, which wraps them before they leave it."""
        return self._keys()

    def require_own(self, found: os.stat_result) -> None:
        """Refuses a key file that anybody else may read, or has put there.

        Raises:
            KeyRefused: It is one.
        """
        mode = stat.S_IMODE(found.st_mode)
        if not stat.S_ISREG(found.st_mode):
            raise self._refused("The hospital's key file is no regular file")
        if found.st_uid != os.geteuid():
            raise self._refused(
                "The hospital's key file belongs to another user", seen=f"user {found.st_uid}"
            )
        if mode & 0o077:
            raise self._refused(
                "The hospital's key file is open to others",
                seen=f"mode {mode:04o}",
                cure="Set its mode to 0600; if others could have read it, rotate the key too",
            )

    def _keys(self) -> Mapping[str, bytes]:
        try:
            found = os.lstat(self.path)
        except FileNotFoundError:
            raise self._refused(
                "The hospital's key file is missing",
                cure="Put it back from the hospital's own backup; without it nothing sealed opens. "
                "To go on without what was sealed, its outbox log too, move the store aside",
            ) from None
        except OSError as error:
            raise self._refused(
                "The hospital's key file cannot be read", seen=error.strerror or ""
            ) from None
        self.require_own(found)
        # Two files of the same number in one tick of the clock look alike: a new one is read.
        if time.time_ns() - found.st_ctime_ns < SETTLED_NS:
            return _read(self)
        return _known(self, found.st_ino, found.st_ctime_ns)

    def _write(self, keys: Mapping[str, bytes], *, once: bool = False) -> None:
        """Writes the file whole or not at all; `once`: another process's file is left."""
        content = {
            "hospital": self.hospital,
            "keys": {key_id: base64.b64encode(key).decode() for key_id, key in keys.items()},
        }
        fresh = self.path.with_name(f".{self.path.name}-{secrets.token_hex(4)}")
        try:
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            written = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            try:
                with os.fdopen(written, "w") as file:
                    json.dump(content, file, indent=1)
                    file.flush()
                    os.fsync(file.fileno())
                if once:
                    with contextlib.suppress(FileExistsError):
                        os.link(fresh, self.path)
                else:
                    fresh.replace(self.path)
            finally:
                fresh.unlink(missing_ok=True)
            folder = os.open(self.path.parent, os.O_RDONLY)
            os.fsync(folder)
            os.close(folder)
        except OSError as error:
            raise self._refused(
                "The hospital's key file cannot be written",
                seen=error.strerror or "",
                cure="Free disk space, or correct the folder's permissions",
            ) from None

    def _refused(self, what: str, *, seen: str = "", cure: str = "") -> KeyRefused:
        return KeyRefused(what, where=str(self.path), seen=seen, cure=cure)


def _drawn() -> dict[str, bytes]:
    return {secrets.token_hex(8): secrets.token_bytes(KEY_BYTES)}


@lru_cache(maxsize=64)
def _known(key: HospitalKey, inode: int, changed_ns: int) -> Mapping[str, bytes]:
    """Reads a key file once; the last two arguments tell one state of the file from the next."""
    return _read(key)


def _read(key: HospitalKey) -> Mapping[str, bytes]:
    try:
        # What was looked at may not be what is opened: it is looked at once more.
        descriptor = os.open(key.path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        with os.fdopen(descriptor, "rb") as file:
            key.require_own(os.fstat(descriptor))
            content = json.loads(file.read())
        hospital = str(content["hospital"])
        keys = {
            str(key_id): base64.b64decode(text, validate=True)
            for key_id, text in content["keys"].items()
        }
        damaged = not keys or any(len(each) != KEY_BYTES for each in keys.values())
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        damaged = True
    if damaged:
        raise KeyRefused("The hospital's key file is damaged", where=str(key.path))
    if hospital != key.hospital:
        raise KeyRefused(
            "The key file is another hospital's",
            where=str(key.path),
            seen=f"of {hospital}, and not of {key.hospital}",
        )
    return keys
