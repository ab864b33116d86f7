"""Who a hospital's machine is: its own key and certificate, and where the door is.

<folder>/identity.json      hospital and address
<folder>/authority.pem      by which it knows the door: who signs, and who will or did
<folder>/own.pem            its certificate and the key of it, which never leaves the machine
"""

from __future__ import annotations

import json
import os
import ssl
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_public_key,
)
from cryptography.x509 import (
    Certificate,
    load_pem_x509_certificate,
    load_pem_x509_certificates,
)

from fed_assets.errors import DoorUnreachable, KitRefused, StorageError, system_reason
from fed_assets.hosts.authority import as_pem, fingerprint, name_of, new_key
from fed_assets.hosts.frames import Gone
from fed_assets.hosts.kit import Kit
from fed_assets.hosts.succession import moment
from fed_assets.hosts.tls import Credentials, call

HOSPITAL_LIFETIME = timedelta(days=30)
IDENTITY, AUTHORITY, OWN, KIT = "identity.json", "authority.pem", "own.pem", "kit.pem"


@dataclass(frozen=True)
class Identity:
    """A machine that has joined.

    Attributes:
        folder: Where it keeps who it is.
        hospital: Whose machine it is.
        address: Where the door is.
    """

    folder: Path
    hospital: str
    address: str

    @property
    def credentials(self) -> Credentials:
        """What it shows at the door: its own certificate, or before the first one the kit's."""
        own = self.folder / (OWN if (self.folder / OWN).exists() else KIT)
        return Credentials(self.folder / AUTHORITY, own, own)

    @property
    def certificate(self) -> Certificate:
        """The certificate that it shows.

        Raises:
            KitRefused: It is damaged.
        """
        try:
            return load_pem_x509_certificate(self.credentials.certificate.read_bytes())
        except (OSError, ValueError):
            raise KitRefused(
                "This machine's certificate cannot be read", where=str(self.folder)
            ) from None

    @property
    def authorities(self) -> list[Certificate]:
        """The certificates of the authorities by which it knows the door.

        Raises:
            KitRefused: They are damaged.
        """
        try:
            return load_pem_x509_certificates((self.folder / AUTHORITY).read_bytes())
        except (OSError, ValueError):
            raise KitRefused(
                "The authority's certificate cannot be read", where=str(self.folder)
            ) from None

    @property
    def enrolled(self) -> bool:
        """Whether it has a certificate of its own already."""
        return (self.folder / OWN).exists()

    def due(self) -> bool:
        """Whether its certificate is to be renewed: where half of its time is over."""
        return not self.enrolled or datetime.now(UTC) > moment(self.certificate, 1 / 2)

    def renew(self) -> None:
        """Gets a new certificate, for a new key, by the one that it has.

        Raises:
            DoorUnreachable: The door does not answer, or refuses.
            StorageError: The new one cannot be kept; the old one is valid still.
        """
        key = new_key()
        public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        asked = {"purpose": "enrol", "public_key": public.decode()}
        try:
            stream, said = call(self.address, self.credentials, asked)
        except (OSError, Gone) as error:
            raise unreachable(self, error) from None
        stream.close()
        if "certificate" not in said:
            raise refused(said)
        certificate = load_pem_x509_certificate(str(said["certificate"]).encode())
        if name_of(certificate) != self.hospital or certificate.public_key() != key.public_key():
            raise DoorUnreachable("The door issued a certificate that is not this machine's")
        authorities = str(said["authorities"]).encode()
        if not any(_signed(certificate, each) for each in load_pem_x509_certificates(authorities)):
            raise DoorUnreachable("The door issued a certificate of an authority that it hides")
        _write(self.folder / AUTHORITY, authorities)
        _write(self.folder / OWN, as_pem(key) + certificate.public_bytes(Encoding.PEM))
        with suppress(FileNotFoundError):
            (self.folder / KIT).unlink()


def read_identity(folder: Path) -> Identity | None:
    """Returns who the machine is; None where it has not joined.

    Raises:
        StorageError: What it keeps of that is damaged.
    """
    try:
        said: Any = json.loads((folder / IDENTITY).read_text())
        return Identity(folder, str(said["hospital"]), str(said["address"]))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise StorageError(
            "What this machine keeps of who it is cannot be read",
            where=str(folder),
            seen=type(error).__name__,
            cure="Remove the folder, and join with a new kit",
        ) from None


def take_up(kit: Kit, folder: Path) -> Identity:
    """Makes the machine the one that a kit is for; the kit's own certificate is all that it has.

    With the kit that it has joined by already, it stays as it is.

    Raises:
        KitRefused: It is another hospital's machine already, or knows another authority.
        StorageError: The folder cannot be written.
    """
    known = read_identity(folder)
    if known is not None and known.hospital != kit.hospital:
        raise KitRefused(
            f"This machine is {known.hospital}'s, and the kit {kit.hospital}'s",
            where=str(folder),
            cure="Use the kit of this hospital, or set FED_ASSETS_HOME to another folder",
        )
    if known is not None:
        before = [fingerprint(each) for each in known.authorities]
        if kit.fingerprint not in before:  # who signed the kit; what it says of others is no proof
            raise KitRefused(
                "The kit is of another authority than this machine has joined",
                where=str(folder),
                seen=f"{kit.fingerprint[:16]}… in place of {before[0][:16]}…",
                cure="Ask who runs the federation whether it has a new authority; if so, remove "
                "the folder and join again",
            )
    first = fingerprint(load_pem_x509_certificate(kit.certificate.encode()))
    if known is not None and json.loads((folder / IDENTITY).read_text()).get("kit") == first:
        return known
    with suppress(FileNotFoundError):
        (folder / OWN).unlink()
    _write(folder / AUTHORITY, kit.authority.encode())
    _write(folder / KIT, (kit.key + kit.certificate).encode())
    said = {"hospital": kit.hospital, "address": kit.address, "kit": first}
    _write(folder / IDENTITY, json.dumps(said, indent=1).encode())
    return Identity(folder, kit.hospital, kit.address)


def public_key_of(pem: str) -> ec.EllipticCurvePublicKey:
    """Returns the public key that a machine asks a certificate for.

    Raises:
        KitRefused: It is none.
    """
    try:
        key = load_pem_public_key(pem.encode())
    except ValueError:
        key = None
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP256R1):
        raise KitRefused("A machine asked for a certificate without a key that it could be for")
    return key


def _signed(certificate: Certificate, authority: Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(authority)
    except (InvalidSignature, ValueError, TypeError):
        return False
    return True


def unreachable(identity: Identity, error: Exception) -> DoorUnreachable:
    """Returns that the door does not answer, with what was seen of it."""
    reason = getattr(error, "reason", None) or getattr(error, "strerror", None) or str(error)
    if isinstance(error, ssl.SSLCertVerificationError):
        reason = error.verify_message
    return DoorUnreachable(
        f"{identity.hospital} does not reach the door", where=identity.address, seen=str(reason)
    )


def refused(said: Any) -> DoorUnreachable:
    """Returns that the door refused, or can let nobody in just now, with its reason."""
    if "trouble" in said:
        return DoorUnreachable(
            f"The door lets nobody in just now: {said['trouble']}",
            seen=str(said.get("seen", "")),
            cure="Tell who runs the federation, unless it is over soon",
        )
    return DoorUnreachable(
        f"The door refuses: {said.get('refused', 'no reason')}",
        seen=str(said.get("seen", "")),
        cure=cure_of(said),
    )


def cure_of(said: Any) -> str:
    """Returns what a hospital is to do where the door refused its machine, as `said` tells."""
    if said.get("revoked"):
        return (
            "Ask who runs the federation to reinstate the hospital; then start `fed-assets "
            "hospital join` again, without a new kit while its certificate lasts"
        )
    return "Ask who runs the federation for a new kit"


def _write(path: Path, content: bytes) -> None:
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with suppress(FileNotFoundError):
            partial.unlink()
        with open(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except OSError as error:
        raise StorageError(
            "This machine cannot keep who it is", where=str(path.parent), seen=system_reason(error)
        ) from None
