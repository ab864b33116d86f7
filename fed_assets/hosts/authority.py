"""The authority that signs for hospitals on hosts of their own, and for the door they call at.

What it signed for one hospital has nothing to do with the others. It lasts for ten years, and
another follows it, see `succession`. A federation's own authority is another, see
`federation.certificates`; that one lasts for a run.
"""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509 import (
    AuthorityKeyIdentifier,
    BasicConstraints,
    Certificate,
    CertificateBuilder,
    DNSName,
    ExtendedKeyUsage,
    KeyUsage,
    Name,
    NameAttribute,
    SubjectAlternativeName,
    SubjectKeyIdentifier,
    load_pem_x509_certificate,
    random_serial_number,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from fed_assets.errors import KitRefused, StorageError, system_reason

# The name in the door's certificate: hospitals ask for it by this one, whatever its address is.
DOOR = "door.fed-assets"
AUTHORITY_LIFETIME = timedelta(days=3650)
DOOR_LIFETIME = timedelta(days=7)
# Clocks of two machines are never the same.
BACKDATED = timedelta(minutes=5)
KEY_FILE, CERTIFICATE_FILE = "authority.key", "authority.crt"
# Of who will sign next, and of who did before.
NEXT_KEY_FILE, NEXT_CERTIFICATE_FILE, EARLIER_FILE = "next.key", "next.crt", "earlier.crt"
LOST = (
    "Put it back from a backup. Where it is lost, remove the folder: a new authority is made then, "
    "and every hospital on a host of its own needs a new kit"
)


@dataclass(frozen=True)
class Authority:
    """Who signs.

    Attributes:
        certificate: Its own.
        key: Its private key.
        others: The certificates of who will sign after it, and of who did before: what they signed
            counts too.
    """

    certificate: Certificate
    key: ec.EllipticCurvePrivateKey = field(repr=False, compare=False)
    others: tuple[Certificate, ...] = ()

    @property
    def trusted(self) -> str:
        """All that counts, as PEM, its own certificate first."""
        return "".join(
            each.public_bytes(Encoding.PEM).decode() for each in (self.certificate, *self.others)
        )

    def issue(
        self,
        name: str,
        public_key: ec.EllipticCurvePublicKey,
        lifetime: timedelta,
        *,
        door: bool = False,
    ) -> Certificate:
        """Returns a new certificate, valid from now on and no longer than the authority's own.

        Args:
            name: Whose: a hospital's id, or `DOOR`.
            public_key: The key that it is for.
            lifetime: How long it is valid.
            door: Whether it is for the door; a hospital's cannot stand in the door's place.

        Raises:
            KitRefused: The authority's own has ended.
        """
        require_not_ended(self.certificate)
        purpose = ExtendedKeyUsageOID.SERVER_AUTH if door else ExtendedKeyUsageOID.CLIENT_AUTH
        until = min(datetime.now(UTC) + lifetime, self.certificate.not_valid_after_utc)
        builder = _builder(name, self.certificate.subject, public_key, until)
        return (
            builder.add_extension(BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(ExtendedKeyUsage([purpose]), critical=True)
            .add_extension(SubjectAlternativeName([DNSName(name)]), critical=False)
            .add_extension(_signed_by(self.key), critical=False)
            .sign(self.key, SHA256())
        )


def open_authority(folder: Path, *, lifetime: timedelta = AUTHORITY_LIFETIME) -> Authority:
    """Returns the authority of a folder, which is made where there is none.

    Args:
        folder: Where it lies.
        lifetime: Of one that is made.

    Raises:
        KitRefused: Its key is gone or damaged, or others may read it.
        StorageError: It cannot be written.
    """
    key_file, certificate_file = folder / KEY_FILE, folder / CERTIFICATE_FILE
    try:
        if not key_file.exists():
            if certificate_file.exists():
                raise KitRefused("The authority's key is gone", where=str(key_file), cure=LOST)
            make_authority(folder, KEY_FILE, CERTIFICATE_FILE, lifetime)
        if mode := stat.S_IMODE(key_file.stat().st_mode) & 0o077:
            raise KitRefused(
                "The authority's key is open to others",
                where=str(key_file),
                seen=f"mode {mode | 0o600:o}",
                cure="Find out who read it; then `chmod 600` it, or remove the folder",
            )
        key = load_pem_private_key(key_file.read_bytes(), password=None)
        certificate = load_pem_x509_certificate(certificate_file.read_bytes())
        others = [
            load_pem_x509_certificate((folder / name).read_bytes())
            for name in (NEXT_CERTIFICATE_FILE, EARLIER_FILE)
            if (folder / name).exists()
        ]
    except ValueError:
        raise KitRefused("The authority is damaged", where=str(folder), cure=LOST) from None
    except OSError as error:
        raise StorageError(
            "The authority cannot be kept", where=str(folder), seen=system_reason(error)
        ) from None
    if (
        not isinstance(key, ec.EllipticCurvePrivateKey)
        or key.public_key() != certificate.public_key()
    ):
        raise KitRefused("The authority's key is another's", where=str(folder), cure=LOST)
    return Authority(certificate, key, tuple(others))


def require_not_ended(certificate: Certificate) -> None:
    """Refuses an authority's certificate that is valid no longer.

    Raises:
        KitRefused: It has ended.
    """
    if datetime.now(UTC) >= certificate.not_valid_after_utc:
        raise KitRefused(
            "The authority of hospitals' hosts has ended",
            seen=f"at {certificate.not_valid_after_utc:%Y-%m-%d %H:%M} UTC",
            cure="If the clock is right, remove its folder, `hosts` in the home: a new authority "
            "is made then, and every hospital on a host of its own needs a new kit",
        )


def new_key() -> ec.EllipticCurvePrivateKey:
    """Returns a new key, of the kind that all of these certificates are for."""
    return ec.generate_private_key(ec.SECP256R1())


def as_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    """Returns a private key as it is kept in a file."""
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def fingerprint(certificate: Certificate) -> str:
    """Returns the sha256 (hex) of a certificate, by which people compare it."""
    return certificate.fingerprint(SHA256()).hex()


def name_of(certificate: Certificate) -> str:
    """Returns whose certificate it is."""
    names = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    return str(names[0].value) if len(names) == 1 else ""


def make_authority(folder: Path, key_file: str, certificate_file: str, lifetime: timedelta) -> None:
    """Makes an authority's two files in a folder.

    Raises:
        OSError: They cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    key, myself = new_key(), _named("fed_assets hosts")
    until = datetime.now(UTC) + lifetime
    usage = dict.fromkeys(
        (
            *("digital_signature", "content_commitment", "key_encipherment", "data_encipherment"),
            *("key_agreement", "encipher_only", "decipher_only"),
        ),
        False,
    )
    certificate = (
        _builder("fed_assets hosts", myself, key.public_key(), until)
        .add_extension(BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(KeyUsage(key_cert_sign=True, crl_sign=True, **usage), critical=True)
        .sign(key, SHA256())
    )
    # The key comes last: where this breaks off before, there is no authority yet.
    put(folder / certificate_file, certificate.public_bytes(Encoding.PEM))
    put(folder / key_file, as_pem(key))


def put(path: Path, content: bytes) -> None:
    """Writes a file that its owner alone can read, whole or not at all."""
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    with suppress(FileNotFoundError):
        partial.unlink()
    with open(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(content)
    partial.replace(path)


def _named(name: str) -> Name:
    return Name([NameAttribute(NameOID.COMMON_NAME, name)])


def _builder(
    name: str, issuer: Name, public_key: ec.EllipticCurvePublicKey, until: datetime
) -> CertificateBuilder:
    identifier = SubjectKeyIdentifier.from_public_key(public_key)
    return (
        CertificateBuilder()
        .subject_name(_named(name))
        .issuer_name(issuer)
        .public_key(public_key)
        .serial_number(random_serial_number())
        .not_valid_before(datetime.now(UTC) - BACKDATED)
        .not_valid_after(until)
        .add_extension(identifier, critical=False)
    )


def _signed_by(key: ec.EllipticCurvePrivateKey) -> AuthorityKeyIdentifier:
    return AuthorityKeyIdentifier.from_issuer_public_key(key.public_key())
