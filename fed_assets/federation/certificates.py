"""How long a federation's certificates are valid, and the authority that signs them.

NVFlare's own last 360 days. The sooner a certificate ends, the less a copy of its key is worth.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from fed_assets.federation.plan import FederationPlan
from fed_assets.federation.policies import Kits
from fed_assets.federation.site_key import rsa_key

# What a run may take beyond its own limit until its last process has ended.
SLACK = timedelta(hours=1)


@dataclass(frozen=True)
class Authority:
    """The authority of one federation; its key is in memory alone, and gone with this object.

    Attributes:
        name: What it is called: as its sandbox.
        certificate: Its certificate, as PEM. No certificate that it signs outlives this one.
        key: Its private key.
    """

    name: str
    certificate: bytes
    key: Any = field(repr=False)


def new_authority(plan: FederationPlan) -> Authority:
    """Returns a new authority for a plan's federation, valid for as long as that may run."""
    from nvflare.lighter.utils import Identity, generate_cert, generate_keys, serialize_cert

    key, public_key = generate_keys()
    myself = Identity(plan.sandbox)
    certificate = generate_cert(
        subject=myself,
        issuer=myself,
        signing_pri_key=key,
        subject_pub_key=public_key,
        ca=True,
        not_valid_after=datetime.now(UTC) + _lifetime(plan),
    )
    return Authority(plan.sandbox, serialize_cert(certificate), key)


def certify(authority: Authority, hospital: str, public_key: str, startup: Path) -> None:
    """Puts a certificate for a hospital's own key in the place of the one that NVFlare made.

    The key that NVFlare made with it goes: the hospital's own never leaves its machine.

    Args:
        authority: Who signs it.
        hospital: Whose it is; NVFlare's organisation bears the name too.
        public_key: The key's public half, as PEM.
        startup: The hospital's start-up kit.

    Raises:
        KitRefused: It is no such key.
    """
    from nvflare.lighter.utils import Identity, generate_cert, load_crt, serialize_cert

    made = load_crt(startup / "client.crt")
    certificate = generate_cert(
        subject=Identity(hospital, hospital),
        issuer=Identity(authority.name),
        signing_pri_key=authority.key,
        subject_pub_key=rsa_key(public_key),
        not_valid_before=made.not_valid_before_utc,
        not_valid_after=made.not_valid_after_utc,
    )
    (startup / "client.crt").write_bytes(serialize_cert(certificate))
    (startup / "client.key").unlink()


def _lifetime(plan: FederationPlan) -> timedelta:
    if plan.certificate_seconds:
        return timedelta(seconds=plan.certificate_seconds)
    return timedelta(seconds=plan.total_timeout_seconds) + SLACK


def valid_until(kits: Kits) -> datetime:
    """Returns when the certificates in these kits end, as the server's says."""
    from nvflare.lighter.utils import load_crt

    ends: datetime = load_crt(Path(kits.server) / "startup" / "server.crt").not_valid_after_utc
    return ends
