"""A version's package: its files, a manifest of their digests, and a signature over that.

`manifest.json` names every file beside itself and its signature, `manifest.sig`, with its sha256
(hex), and says of which model they are. The signature is Ed25519's over the manifest's very bytes.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import os
import re
import shutil
import uuid
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from fed_assets.errors import PackageRefused, StorageError, system_reason
from fed_assets.serving.keys import fingerprint

FORMAT = 1
PACKAGE = "package"  # the folder of it in a version's
MANIFEST, SIGNATURE = "manifest.json", "manifest.sig"
WEIGHTS, ONNX = "weights.safetensors", "model.onnx"
_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, kw_only=True)
class ModelFacts:
    """What a package says of its model, and what each answer of the service repeats.

    Attributes:
        sandbox: The partition's name.
        version: Its number in the registry.
        run_id: Dagster's run that made it.
        classes: Names of the classes, in the order of the outputs.
        channels: Of the images.
        image_size: Pixels a side.
        threshold: The probability from which on an image counts as positive, of two classes.
        calibration: The expected calibration error on the common test set: `value`, `low`, `high`.
        weights_digest: sha256 (hex) of the safetensors file.
        synthetic: Whether any image that it learned from was made up.
        created: When it was packaged, ISO 8601.
        versions: Package to version.
    """

    sandbox: str
    version: int
    run_id: str
    classes: tuple[str, ...]
    channels: int
    image_size: int
    threshold: float
    calibration: Mapping[str, float | None]
    weights_digest: str
    synthetic: bool
    created: str
    versions: Mapping[str, str]

    @property
    def name(self) -> str:
        """Returns what the registry calls the model."""
        return f"fed_assets_{self.sandbox}"


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
            raise _refused("A file of the package is gone", self.folder, name) from error
        if hashlib.sha256(content).hexdigest() != self.files[name]:
            raise _refused("A file of the package was changed", self.folder, name)
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
                raise _refused("A file of the package is missing", folder, name)
        if files[WEIGHTS] != facts.weights_digest:
            raise _refused("The package holds the weights of another version", folder, WEIGHTS)
        manifest = {"format": FORMAT, "model": asdict(facts), "files": files}
        content = json.dumps(manifest, indent=1, allow_nan=False).encode()
        signature = {
            "algorithm": "ed25519",
            "key": fingerprint(key.public_key()),
            "signature": base64.b64encode(key.sign(content)).decode(),
        }
        (folder / MANIFEST).write_bytes(content)
        (folder / SIGNATURE).write_text(json.dumps(signature, indent=1), encoding="utf-8")
    except OSError as error:
        raise StorageError(
            "The package's manifest cannot be written",
            where=str(folder.parent),
            seen=system_reason(error),
        ) from None
    return Package(folder, facts, hashlib.sha256(content).hexdigest(), files)


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
    manifest, signature = _read(folder, MANIFEST), _read(folder, SIGNATURE)
    _require_signature(folder, manifest, signature, key)
    facts, files = _understood(folder, manifest)
    if (facts.sandbox, facts.version) != (sandbox, version):
        raise PackageRefused(
            "The package is of another version",
            where=str(folder),
            seen=f"{facts.sandbox} version {facts.version} instead of {sandbox} version {version}",
        )
    try:
        found = _digests(folder)
    except OSError as error:
        raise PackageRefused(
            "The package cannot be read", where=str(folder), seen=system_reason(error)
        ) from None
    for name in sorted(files.keys() | found.keys()):
        if name not in found:
            raise _refused("A file of the package is missing", folder, name)
        if name not in files:
            raise _refused("The package holds a file that was not signed", folder, name)
        if files[name] != found[name]:
            raise _refused("A file of the package was changed", folder, name)
    return Package(folder, facts, hashlib.sha256(manifest).hexdigest(), files)


def half_packaged(folder: Path) -> Path:
    """Returns where a package is made, which is then renamed to its own folder."""
    return folder.with_name(f".partial-{folder.name}-{uuid.uuid4().hex[:8]}")


def remove_half_packaged(folder: Path) -> None:
    """Removes what a process that was killed left beside a package."""
    for partial in folder.parent.glob(f".partial-*{folder.name}-*"):
        shutil.rmtree(partial, ignore_errors=True)


def _require_signature(
    folder: Path, manifest: bytes, signature: bytes, key: Ed25519PublicKey
) -> None:
    try:
        record = json.loads(signature)
        signed, signer = base64.b64decode(record["signature"], validate=True), record["key"]
    except (ValueError, KeyError, TypeError, binascii.Error):
        raise _refused("The package's signature is damaged", folder, SIGNATURE) from None
    if signer != fingerprint(key):
        raise PackageRefused(
            "The package was signed by another key",
            where=str(folder),
            seen=f"key {str(signer)[:16]} instead of {fingerprint(key)[:16]}",
            cure="Find out whose key that is. Where this home's keys were replaced, put them back "
            "from a backup; else remove the package and materialize deployed_model again",
        )
    try:
        key.verify(signed, manifest)
    except InvalidSignature:
        raise _refused("The package's manifest is not what was signed", folder, MANIFEST) from None


def _understood(folder: Path, manifest: bytes) -> tuple[ModelFacts, dict[str, str]]:
    """Returns what a genuine manifest says.

    Raises:
        PackageRefused: it is of a format that this version does not know.
    """
    try:
        record = json.loads(manifest)
        if record["format"] != FORMAT:
            raise KeyError("format")
        model, files = record["model"], record["files"]
        facts = ModelFacts(**{each.name: model[each.name] for each in fields(ModelFacts)})
        if not all(_SHA256.fullmatch(digest) for digest in files.values()):
            raise ValueError
    except (ValueError, KeyError, TypeError, AttributeError):
        raise PackageRefused(
            "The package's manifest is of a format that this version does not know",
            where=str(folder / MANIFEST),
            cure="Serve it with the version of fed_assets that packaged it, or package it again",
        ) from None
    return ModelFacts(**{**vars(facts), "classes": tuple(facts.classes)}), dict(files)


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
                raise _refused("The package holds what is no plain file", folder, inside)
            if path.is_file() and inside not in (MANIFEST, SIGNATURE):
                with path.open("rb") as file:
                    found[inside] = hashlib.file_digest(file, "sha256").hexdigest()
    return dict(sorted(found.items()))


def _read(folder: Path, name: str) -> bytes:
    try:
        return (folder / name).read_bytes()
    except OSError:
        what = "There is no such package" if not folder.is_dir() else "The package is not signed"
        raise _refused(what, folder, name) from None


def _refused(what: str, folder: Path, name: str) -> PackageRefused:
    return PackageRefused(what, where=str(folder), seen=name)
