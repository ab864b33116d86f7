"""The key that packages of models are signed with: the registry's own, made once."""

from __future__ import annotations

import hashlib
import os
import stat
from contextlib import suppress
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)

from fed_assets.errors import PackageRefused, StorageError, system_reason

SIGNED = "*/v*/package/manifest.sig"  # in the folder of all versions
LOST = (
    "Put the key and its public half back from a backup. Where it is lost, remove its public half "
    "and every version's folder `package`: a new key is made then, and what is to be served has to "
    "be packaged again"
)


def signing_key(path: Path, *, models: Path | None = None) -> Ed25519PrivateKey:
    """Returns the key in a file, which is made where there was none yet.

    The file is its owner's alone (0600). The public half lies beside it, with the suffix `.pub`.

    Args:
        path: The file.
        models: The folder of all sandboxes' versions. Where anything in it is signed, there was a
            key, and none is made in its place.

    Raises:
        PackageRefused: the key is gone or damaged, or others may read it.
        StorageError: it cannot be written.
    """
    public = path.with_suffix(".pub")
    try:
        if not path.exists():
            if public.exists() or (models is not None and any(models.glob(SIGNED))):
                raise PackageRefused(
                    "The key that models are signed with is gone", where=str(path), cure=LOST
                )
            _make(path)
        key = _read(path)
        if not public.exists():
            _publish(public, key.public_key())
    except OSError as error:
        raise StorageError(
            "The key that models are signed with cannot be written",
            where=str(path.parent),
            seen=system_reason(error),
        ) from None
    return key


def public_key(path: Path) -> Ed25519PublicKey:
    """Returns the public key in a file.

    Raises:
        PackageRefused: there is none, or it is damaged.
    """
    try:
        found = load_pem_public_key(path.read_bytes())
    except (OSError, ValueError, UnsupportedAlgorithm):
        found = None
    if not isinstance(found, Ed25519PublicKey):
        raise PackageRefused(
            "The public key by which packages of models are checked cannot be read",
            where=str(path),
            cure="Put it back, or remove it and materialize deployed_model: it is made from the "
            "private key",
        )
    return found


def fingerprint(key: Ed25519PublicKey) -> str:
    """Returns the sha256 (hex) of a public key, by which people and manifests name it."""
    return hashlib.sha256(key.public_bytes(Encoding.Raw, PublicFormat.Raw)).hexdigest()


def _make(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    pem = Ed25519PrivateKey.generate().private_bytes(
        Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()
    )
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with open(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(pem)
        with suppress(FileExistsError):  # another process was first: its key is the key
            os.link(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def _read(path: Path) -> Ed25519PrivateKey:
    if mode := stat.S_IMODE(path.stat().st_mode) & 0o077:
        raise PackageRefused(
            "The key that models are signed with is open to others",
            where=str(path),
            seen=f"mode {mode | 0o600:o}",
            cure="Find out who read it; then `chmod 600` it, or replace it",
        )
    try:
        found = load_pem_private_key(path.read_bytes(), password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        found = None
    if not isinstance(found, Ed25519PrivateKey):
        raise PackageRefused(
            "The key that models are signed with is damaged", where=str(path), cure=LOST
        )
    return found


def _publish(path: Path, key: Ed25519PublicKey) -> None:
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        partial.write_bytes(key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
