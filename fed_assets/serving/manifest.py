"""The signed manifest of a package: of which model it is, whose data is in that, and its files.

The signature is Ed25519's over the manifest's very bytes.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from fed_assets.errors import PackageRefused
from fed_assets.serving.keys import fingerprint

FORMAT = 2  # the first one did not say whose data is in the model
MANIFEST, SIGNATURE = "manifest.json", "manifest.sig"
_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, kw_only=True)
class ModelFacts:
    """What a package says of its model, and what each answer of the service repeats.

    Attributes:
        sandbox: The partition's name.
        version: Its number in the registry.
        run_id: Dagster's run that made it.
        participants: Each hospital whose data is in it, with the digests of the versions of that.
        record_digest: sha256 (hex) of the version's record, `version.json`.
        lineage_digest: sha256 (hex) of its run's lineage.
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
    participants: Mapping[str, tuple[str, ...]]
    record_digest: str
    lineage_digest: str
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
class Manifest:
    """A manifest whose signature was checked, or that was signed just now.

    Attributes:
        content: Its very bytes.
        facts: What it says of the model.
        files: Every file's digest, by its path in the folder.
    """

    content: bytes
    facts: ModelFacts
    files: Mapping[str, str]


def sign_manifest(
    folder: Path, facts: ModelFacts, files: Mapping[str, str], key: Ed25519PrivateKey
) -> Manifest:
    """Writes a manifest and its signature into a package's folder, and returns it.

    Raises:
        OSError: they cannot be written.
    """
    manifest = {"format": FORMAT, "model": asdict(facts), "files": dict(files)}
    content = json.dumps(manifest, indent=1, allow_nan=False).encode()
    signature = {
        "algorithm": "ed25519",
        "key": fingerprint(key.public_key()),
        "signature": base64.b64encode(key.sign(content)).decode(),
    }
    (folder / MANIFEST).write_bytes(content)
    (folder / SIGNATURE).write_text(json.dumps(signature, indent=1), encoding="utf-8")
    return Manifest(content, facts, files)


def read_manifest(folder: Path, key: Ed25519PublicKey, *, sandbox: str, version: int) -> Manifest:
    """Returns a package's manifest, after checking its signature, and none of the package's files.

    Args:
        folder: Where the package lies.
        key: Whose signature counts.
        sandbox: Which model's it has to be.
        version: Which version's.

    Raises:
        PackageRefused: it is not there or not signed, was signed by another key or for another
            version, or is of a format that this version does not know.
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
    return Manifest(manifest, facts, files)


def _require_signature(
    folder: Path, manifest: bytes, signature: bytes, key: Ed25519PublicKey
) -> None:
    try:
        record = json.loads(signature)
        signed, signer = base64.b64decode(record["signature"], validate=True), record["key"]
    except (ValueError, KeyError, TypeError, binascii.Error):
        raise refused("The package's signature is damaged", folder, SIGNATURE) from None
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
        raise refused("The package's manifest is not what was signed", folder, MANIFEST) from None


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
        took_part = {name: tuple(digests) for name, digests in facts.participants.items()}
        if not all(_SHA256.fullmatch(digest) for digest in files.values()):
            raise ValueError
    except (ValueError, KeyError, TypeError, AttributeError):
        raise PackageRefused(
            "The package's manifest is of a format that this version does not know",
            where=str(folder / MANIFEST),
            cure="Remove the version's folder `package`, and materialize registered_model with "
            "the run config `version`, then deployed_model",
        ) from None
    return replace(facts, classes=tuple(facts.classes), participants=took_part), dict(files)


def _read(folder: Path, name: str) -> bytes:
    try:
        return (folder / name).read_bytes()
    except OSError:
        what = "There is no such package" if not folder.is_dir() else "The package is not signed"
        raise refused(what, folder, name) from None


def refused(what: str, folder: Path, name: str) -> PackageRefused:
    """Returns the error that a file of a package is the reason not to take it."""
    return PackageRefused(what, where=str(folder), seen=name)
