"""A version's package: its files, a manifest of their digests, and a signature over that.

`manifest.json` names every file beside itself and its signature, `manifest.sig`, with its sha256
(hex), and says of which model they are, whose data is in it, and which records tell so. The
signature is Ed25519's over the manifest's very bytes.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from fed_assets.errors import PackageRefused, StorageError, system_reason
from fed_assets.serving.manifest import (
    MANIFEST,
    SIGNATURE,
    ModelFacts,
    read_manifest,
    refused,
    sign_manifest,
)

PACKAGE = "package"  # the folder of it in a version's
WEIGHTS, ONNX = "weights.safetensors", "model.onnx"


@dataclass(frozen=True)
class Package:
    """A package whose signature and files were checked.

    Attributes:
        folder: Where it lies.
        facts: What it says of its model.
        digest: sha256 (hex) of its manifest.
        files: Every file's digest, by its path in the folder.
    """

    folder: Path
    facts: ModelFacts
    digest: str
    files: Mapping[str, str] = field(repr=False)

    def read(self, name: str) -> bytes:
        """Returns a file's bytes, which are what was signed, even where it was changed since.

        Raises:
            PackageRefused: they are not, or it is gone.
        """
        try:
            content = (self.folder / name).read_bytes()
        except OSError as error:
            raise refused("A file of the package is gone", self.folder, name) from error
        if hashlib.sha256(content).hexdigest() != self.files[name]:
            raise refused("A file of the package was changed", self.folder, name)
        return content


def sign_package(folder: Path, facts: ModelFacts, key: Ed25519PrivateKey) -> Package:
    """Writes the manifest of a folder and its signature; returns the package.

    Raises:
        PackageRefused: it lacks its weights or its ONNX file, or its weights are another version's.
        StorageError: it cannot be written.
    """
    try:
        files = _digests(folder)
        for name in (WEIGHTS, ONNX):
            if name not in files:
                raise refused("A file of the package is missing", folder, name)
        if files[WEIGHTS] != facts.weights_digest:
            raise refused("The package holds the weights of another version", folder, WEIGHTS)
        signed = sign_manifest(folder, facts, files, key)
    except OSError as error:
        raise StorageError(
            "The package's manifest cannot be written",
            where=str(folder.parent),
            seen=system_reason(error),
        ) from None
    return Package(folder, facts, hashlib.sha256(signed.content).hexdigest(), files)


def open_package(folder: Path, key: Ed25519PublicKey, *, sandbox: str, version: int) -> Package:
    """Returns a package whose signature, and each of whose files, were checked.

    Args:
        folder: Where it lies.
        key: Whose signature counts.
        sandbox: Which model's it has to be.
        version: Which version's.

    Raises:
        PackageRefused: it is not there or not signed, was signed by another key or for another
            version, or a file was changed, added or taken away.
    """
    manifest = read_manifest(folder, key, sandbox=sandbox, version=version)
    files = manifest.files
    try:
        found = _digests(folder)
    except OSError as error:
        raise PackageRefused(
            "The package cannot be read", where=str(folder), seen=system_reason(error)
        ) from None
    for name in sorted(files.keys() | found.keys()):
        if name not in found:
            raise refused("A file of the package is missing", folder, name)
        if name not in files:
            raise refused("The package holds a file that was not signed", folder, name)
        if files[name] != found[name]:
            raise refused("A file of the package was changed", folder, name)
    return Package(folder, manifest.facts, hashlib.sha256(manifest.content).hexdigest(), files)


def half_packaged(folder: Path) -> Path:
    """Returns where a package is made, which is then renamed to its own folder."""
    return folder.with_name(f".partial-{folder.name}-{uuid.uuid4().hex[:8]}")


def remove_half_packaged(folder: Path) -> None:
    """Removes what a process that was killed left beside a package."""
    for partial in folder.parent.glob(f".partial-*{folder.name}-*"):
        shutil.rmtree(partial, ignore_errors=True)


def _digests(folder: Path) -> dict[str, str]:
    """Returns the digest of every file but the manifest and its signature.

    Raises:
        PackageRefused: there is a link, or what is neither a file nor a folder.
        OSError: a file cannot be read.
    """
    found = {}
    for place, folders, names in os.walk(folder):
        for name in (*folders, *names):
            path = Path(place, name)
            inside = path.relative_to(folder).as_posix()
            if path.is_symlink() or not (path.is_file() or path.is_dir()):
                raise refused("The package holds what is no plain file", folder, inside)
            if path.is_file() and inside not in (MANIFEST, SIGNATURE):
                with path.open("rb") as file:
                    found[inside] = hashlib.file_digest(file, "sha256").hexdigest()
    return dict(sorted(found.items()))
