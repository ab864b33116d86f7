"""A start-up kit: one signed file by which one hospital's machine comes in for the first time.

It holds that hospital's certificate alone, and the key of it. Both serve once: with them the
machine gets a certificate for a key that it made itself, see `identity`, and the kit's is refused
from then on.
"""

from __future__ import annotations

import json
import os
import shlex
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key
from cryptography.x509 import Certificate, load_pem_x509_certificate

from fed_assets.errors import KitRefused, system_reason
from fed_assets.hosts.authority import Authority, as_pem, fingerprint, name_of, new_key
from fed_assets.privacy.chain import canonical

FORMAT = 1
KIT_LIFETIME = timedelta(days=14)
LONGEST_KIT = 1 << 16
_SIGNED = ec.ECDSA(SHA256())


@dataclass(frozen=True)
class Kit:
    """What a kit says.

    Attributes:
        hospital: Whose it is.
        address: Where the door is, `host:port`.
        authority: The authority's certificate, as PEM; behind it that of who follows it, or came
            before, which counts too.
        certificate: The hospital's first, as PEM.
        key: The key of that, as PEM.
        made: When it was made.
        version: With which version of fed_assets.
    """

    hospital: str
    address: str
    authority: str
    certificate: str
    key: str = field(repr=False)
    made: str
    version: str

    @property
    def fingerprint(self) -> str:
        """The authority's fingerprint, to compare with what its keeper says by another way."""
        return fingerprint(load_pem_x509_certificate(self.authority.encode()))

    @property
    def valid_until(self) -> datetime:
        """Until when it has to be used."""
        return load_pem_x509_certificate(self.certificate.encode()).not_valid_after_utc


def make_kit(
    authority: Authority,
    hospital: str,
    address: str,
    *,
    version: str,
    lifetime: timedelta = KIT_LIFETIME,
) -> tuple[bytes, Certificate]:
    """Returns a new kit as it is written, and the certificate in it.

    Args:
        authority: Who signs it.
        hospital: Whose it is.
        address: Where the door is, as the hospital's machine reaches it.
        version: That of fed_assets.
        lifetime: How long it can be used.
    """
    key = new_key()
    certificate = authority.issue(hospital, key.public_key(), lifetime)
    said = {
        "format": FORMAT,
        "hospital": hospital,
        "address": address,
        "authority": authority.trusted,
        "certificate": certificate.public_bytes(Encoding.PEM).decode(),
        "key": as_pem(key).decode(),
        "made": datetime.now(UTC).isoformat(timespec="seconds"),
        "version": version,
    }
    signature = authority.key.sign(canonical(said), _SIGNED).hex()
    return json.dumps({**said, "signature": signature}, indent=1).encode() + b"\n", certificate


def read_kit(path: Path, *, expected: str = "") -> Kit:
    """Returns what a kit says, once it has been found to be whole, genuine and in time.

    Args:
        path: The file.
        expected: The authority's fingerprint, as its keeper told it by another way; empty where
            nobody did, and the kit's own word has to do.

    Raises:
        KitRefused: It is not there, open to others, damaged, changed, another authority's, or not
            valid now; or its certificate, or its key, belongs to somebody else.
    """
    try:
        with path.open("rb") as file:
            _require_own(path, os.fstat(file.fileno()).st_mode)
            said: Any = json.loads(file.read(LONGEST_KIT))
        if said["format"] != FORMAT:
            raise _refused(path, f"format {said['format']}, and this version reads {FORMAT}")
        kit = Kit(**{each.name: str(said[each.name]) for each in fields(Kit)})
        authority = load_pem_x509_certificate(kit.authority.encode())
        certificate = load_pem_x509_certificate(kit.certificate.encode())
        key = load_pem_private_key(kit.key.encode(), password=None)
        _require_signed(path, said, authority)
    except OSError as error:
        raise _refused(path, system_reason(error)) from None
    except (ValueError, KeyError, TypeError) as error:
        raise _refused(path, f"it is no kit, or damaged ({type(error).__name__})") from None
    if expected and _plain(expected) != fingerprint(authority):
        raise _refused(path, f"it is of the authority {fingerprint(authority)[:16]}…, not of yours")
    try:
        certificate.verify_directly_issued_by(authority)
    except (InvalidSignature, ValueError, TypeError):
        raise _refused(path, "its certificate is another authority's") from None
    if name_of(certificate) != kit.hospital:
        raise _refused(path, f"its certificate is of {name_of(certificate)}, not of {kit.hospital}")
    if not isinstance(key, ec.EllipticCurvePrivateKey) or (
        key.public_key() != certificate.public_key()
    ):
        raise _refused(path, "its key is not that of its certificate")
    now = datetime.now(UTC)
    if now > certificate.not_valid_after_utc:
        raise _refused(path, f"it ended at {certificate.not_valid_after_utc:%Y-%m-%d %H:%M} UTC")
    if now < certificate.not_valid_before_utc:
        raise KitRefused(
            "The kit is not valid yet",
            where=str(path),
            seen=f"it begins at {certificate.not_valid_before_utc:%Y-%m-%d %H:%M} UTC, "
            f"and this machine's clock says {now:%Y-%m-%d %H:%M}",
            cure="Set this machine's clock",
        )
    return kit


def _require_own(path: Path, mode: int) -> None:
    if mode & 0o077:
        raise KitRefused(
            "The start-up kit, which holds a private key, is open to others",
            where=str(path),
            seen=f"mode {stat.S_IMODE(mode):04o}",
            cure=f"`chmod 600 {shlex.quote(str(path))}`; if others could have read it, have the "
            "orchestrator make a new one by `fed-assets federation kit HOSPITAL`",
        )


def _require_signed(path: Path, said: Mapping[str, Any], authority: Certificate) -> None:
    signed = {name: value for name, value in said.items() if name != "signature"}
    key = authority.public_key()
    try:
        if not isinstance(key, ec.EllipticCurvePublicKey):
            raise ValueError("no key of ours")
        key.verify(bytes.fromhex(str(said["signature"])), canonical(signed), _SIGNED)
    except InvalidSignature:
        raise _refused(path, "it was changed after it had been signed") from None


def _plain(text: str) -> str:
    return text.strip().lower().replace(":", "")


def _refused(path: Path, seen: str) -> KitRefused:
    return KitRefused("The start-up kit cannot be used", where=str(path), seen=seen)
