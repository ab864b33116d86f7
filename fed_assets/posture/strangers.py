"""Who knocks at a federation's door: certificates that must not open it, and one that must.

The federation's own authority leaves no key behind. So that nothing but an expired certificate's
age, or the name that it is for, can be why it is refused, the server is made to trust one authority
more, whose key the prober holds.
"""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from nvflare.lighter.utils import (
    Identity,
    generate_cert,
    generate_keys,
    serialize_cert,
    serialize_pri_key,
)

from fed_assets.federation.certificates import Authority, new_authority
from fed_assets.federation.plan import FederationPlan
from fed_assets.federation.policies import HOST

AGE, LEFT = timedelta(hours=1), timedelta(hours=1)


@dataclass(frozen=True)
class Strangers:
    """Makes certificates, in a folder that only this user can read.

    Attributes:
        plan: The federation's.
        folder: Where certificates and keys go.
        trusted: An authority that the server trusts beside its own, see `trust`.
        unknown: The authority of another federation.
    """

    plan: FederationPlan
    folder: Path
    trusted: Authority
    unknown: Authority

    @classmethod
    def of(cls, plan: FederationPlan, folder: Path) -> Strangers:
        """Returns those of a plan's federation; the folder is made."""
        folder.mkdir(mode=0o700)
        return cls(plan, folder, new_authority(plan), new_authority(plan))

    def trust(self, server: Path) -> None:
        """Has a server that has not started yet trust `trusted` too."""
        with (server / "startup" / "rootCA.pem").open("ab") as authorities:
            authorities.write(self.trusted.certificate)

    def refused(self, name: str) -> Mapping[str, ssl.SSLContext]:
        """Returns what those connect with who claim a hospital's name and must be refused."""
        return {
            "without_certificate": client_context(),
            "self_signed": self._client("self_signed", name, None),
            "expired": self._client("expired", name, self.trusted, left=-timedelta(seconds=1)),
            "with_another_federations": self._client("foreign", name, self.unknown),
        }

    def valid(self, name: str) -> ssl.SSLContext:
        """Returns what somebody connects with whom the server knows by that name."""
        return self._client(f"valid_{name}", name, self.trusted)

    def impostor(self) -> ssl.SSLContext:
        """Returns what somebody answers with who has a server's certificate of `unknown`."""
        files = self._certified("impostor", HOST, self.unknown, LEFT)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.load_cert_chain(*files)
        return context

    def _client(
        self, what: str, name: str, authority: Authority | None, left: timedelta = LEFT
    ) -> ssl.SSLContext:
        return client_context(*self._certified(what, name, authority, left))

    def _certified(
        self, what: str, name: str, authority: Authority | None, left: timedelta
    ) -> tuple[Path, Path]:
        """Returns the files of a certificate and its key; without an authority it signs itself."""
        key, public_key = generate_keys()
        now = datetime.now(UTC)
        certificate = generate_cert(
            subject=Identity(name, name),
            issuer=Identity(name, name) if authority is None else Identity(self.plan.sandbox),
            signing_pri_key=key if authority is None else authority.key,
            subject_pub_key=public_key,
            server_default_host=name if name == HOST else None,
            not_valid_before=now - AGE,
            not_valid_after=now + left,
        )
        return self._write(what, serialize_cert(certificate), serialize_pri_key(key))

    def _write(self, what: str, certificate: bytes, key: bytes) -> tuple[Path, Path]:
        files = self.folder / f"{what}.crt", self.folder / f"{what}.key"
        for file, content in zip(files, (certificate, key), strict=True):
            file.touch(mode=0o600)
            file.write_bytes(content)
        return files


def client_context(certificate: Path | None = None, key: Path | None = None) -> ssl.SSLContext:
    """Returns what connects to whoever answers, with a certificate or without."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    if certificate:
        context.load_cert_chain(certificate, key)
    return context
