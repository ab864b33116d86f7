"""The hospitals among which a hospital masks its updates, and by which keys it knows them.

Who the others are, and how many must take part, was written into the site's own configuration as
the federation was provisioned; no job can change it. Keys are signed with the key of the
certificate that the hospital has for mutual TLS, and taken from nobody whose certificate the
federation's authority did not sign under that name. So the server, which passes them on, cannot put
keys of its own in their place.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from cryptography.x509 import Certificate, load_pem_x509_certificate
from cryptography.x509.oid import NameOID

from fed_assets.errors import IdentityRefused, RunConfigError, system_reason
from fed_assets.hospital.site import HOSPITAL_FILE
from fed_assets.privacy.masking import Turn
from fed_assets.privacy.masking_terms import LEAST_HOSPITALS, PUBLIC

_LONGEST = 8192  # of a certificate
_PADDING = padding.PSS(padding.MGF1(SHA256()), padding.PSS.DIGEST_LENGTH)


@dataclass(frozen=True)
class Peers:
    """A hospital among those that it aggregates with.

    Attributes:
        hospital: Its own id.
        hospitals: All of them, itself too.
        threshold: How many at least must take part in a round.
        certificate: Its own, as PEM.
        key: The certificate's key.
        authority: The federation's.
    """

    hospital: str
    hospitals: tuple[str, ...]
    threshold: int
    certificate: str
    key: rsa.RSAPrivateKey = field(repr=False)
    authority: Certificate

    def signed(self, turn: Turn, public: Mapping[str, str]) -> dict[str, str]:
        """Returns what peers are told of this hospital's keys of a turn."""
        signature = self.key.sign(_signed_text(turn, self.hospital, public), _PADDING, SHA256())
        return {**public, "certificate": self.certificate, "signature": signature.hex()}

    def require_signed(self, turn: Turn, peer: str, said: object) -> dict[str, str]:
        """Returns what a peer says of its keys of a turn, if the peer itself has signed it.

        Raises:
            IdentityRefused: It has not, or is no peer.
        """
        try:
            if peer not in self.hospitals:
                raise ValueError("it is none of this federation")
            if not isinstance(said, Mapping):
                raise ValueError("it says nothing")
            told = {name: str(said[name]) for name in (*PUBLIC, "certificate", "signature")}
            certificate = load_pem_x509_certificate(told["certificate"][:_LONGEST].encode())
            self._require_certified(peer, certificate)
            key = certificate.public_key()
            if not isinstance(key, rsa.RSAPublicKey):
                raise ValueError("its certificate's key is not RSA")
            text = _signed_text(turn, peer, told)
            key.verify(bytes.fromhex(told["signature"]), text, _PADDING, SHA256())
        except InvalidSignature:
            seen = "a signature that does not hold"
        except KeyError as error:
            seen = f"no {error.args[0]}"
        except (ValueError, TypeError) as error:
            seen = str(error)[:100]
        else:
            return told
        raise IdentityRefused(
            f"The keys that {peer} is said to mask its update with are not its own",
            where="secure aggregation",
            seen=seen,
            cure="Look who runs the federation's server, and what passes between it and hospitals.",
        )

    def _require_certified(self, peer: str, certificate: Certificate) -> None:
        try:
            certificate.verify_directly_issued_by(self.authority)
        except InvalidSignature as error:
            raise ValueError("a certificate of another authority") from error
        now = datetime.now(UTC)
        if not certificate.not_valid_before_utc <= now <= certificate.not_valid_after_utc:
            raise ValueError("a certificate that is not valid now")
        names = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
        if [str(name.value) for name in names] != [peer]:
            raise ValueError("another participant's certificate")


def read_peers(site: Path, hospital: str) -> Peers:
    """Returns the peers of a hospital, as its site's own workspace says.

    Args:
        site: The workspace.
        hospital: The hospital's id.

    Raises:
        RunConfigError: The site was not provisioned for secure aggregation.
    """
    try:
        said: Any = json.loads((site / "local" / HOSPITAL_FILE).read_text())["secure_aggregation"]
        hospitals, threshold = tuple(map(str, said["hospitals"])), int(said["threshold"])
        startup = site / "startup"
        certificate = (startup / "client.crt").read_text()
        key = load_pem_private_key((startup / "client.key").read_bytes(), None)
        authority = load_pem_x509_certificate((startup / "rootCA.pem").read_bytes())
    except OSError as error:
        raise _unprovisioned(system_reason(error)) from error
    except (ValueError, KeyError, TypeError) as error:
        raise _unprovisioned(type(error).__name__) from error
    if not isinstance(key, rsa.RSAPrivateKey):
        raise _unprovisioned("a key that is not RSA")
    if hospital not in hospitals or len(set(hospitals)) != len(hospitals):
        raise _unprovisioned("a list of hospitals without this one")
    if len(hospitals) < LEAST_HOSPITALS or not len(hospitals) / 2 < threshold <= len(hospitals):
        raise _unprovisioned(f"{threshold} of {len(hospitals)} hospitals, which hides nobody")
    return Peers(hospital, hospitals, threshold, certificate, key, authority)


def _signed_text(turn: Turn, hospital: str, public: Mapping[str, str]) -> bytes:
    return turn.label("keys", hospital, *(public[name] for name in PUBLIC))


def _unprovisioned(seen: str) -> RunConfigError:
    return RunConfigError(
        "The site was not provisioned for secure aggregation",
        where=f"local/{HOSPITAL_FILE}, startup",
        seen=seen,
        cure="Provision the federation again, with at least 3 hospitals and `transport: mtls`.",
    )
