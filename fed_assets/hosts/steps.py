"""Each step of a connection, tried in its order: what fails, what was seen, and how to mend it."""

from __future__ import annotations

import errno
import socket
import ssl
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from fed_assets.errors import FedAssetsError
from fed_assets.hosts.frames import Gone
from fed_assets.hosts.identity import Identity, cure_of
from fed_assets.hosts.succession import NEXT_SIGNS, moment
from fed_assets.hosts.tls import call, connect, shown_certificate, split_address
from fed_assets.hosts.versions import differences, versions

NAMES = ("name", "route", "port", "authority", "certificate", "clock", "versions")
# Certificates are dated back by five minutes; beyond a minute something is wrong already.
MOST_OFFSET_SECONDS = 60.0
_NO_ROUTE = {errno.ENETUNREACH, errno.EHOSTUNREACH, errno.ENETDOWN}
_EXPIRED, _NOT_YET = 10, 9  # OpenSSL's X509_V_ERR_*


@dataclass(frozen=True)
class Step:
    """One step, and what came of it.

    Attributes:
        name: One of `NAMES`.
        state: `ok`, `warning` to live with, `failed`, or `not tried` where one before it failed.
        seen: What was seen.
        cure: How to mend it.
    """

    name: str
    state: str
    seen: str = ""
    cure: str = ""

    @property
    def passed(self) -> bool:
        """Whether the way goes on behind it."""
        return self.state in ("ok", "warning")


class _Failed(Exception):
    """That a step failed: its name, what was seen, and the cure."""

    @property
    def step(self) -> Step:
        name, seen, cure = self.args
        return Step(name, "failed", seen, cure)


def try_steps(identity: Identity) -> tuple[list[Step], Mapping[str, Any]]:
    """Tries each step of a machine's way to the door; returns them, and what the door said.

    Nothing is changed by it: a kit that was not used is not used then either.
    """
    found: list[Step] = []
    said: Mapping[str, Any] = {}
    try:
        found.append(Step("name", "ok", _try_name(identity)))
        seen = _try_route_and_port(identity)
        found += [Step("route", "ok", seen), Step("port", "ok", identity.address)]
        found.append(_authority(identity))
        seen, said, offset = _try_certificate(identity)
        found.append(Step("certificate", "ok", seen))
        found.append(_clock(offset))
        found.append(_versions(said))
    except _Failed as failure:
        step = failure.step
        before = NAMES[: NAMES.index(step.name)]
        known = {each.name for each in found}
        # The clock shows as a certificate that is not valid yet or any more.
        found += [
            Step(name, "ok") for name in before if name not in known and name != "certificate"
        ]
        if step.name == "clock":
            found.append(Step("certificate", "not tried"))
        found.append(step)
    known = {each.name for each in found}
    return [*found, *(Step(name, "not tried") for name in NAMES if name not in known)], said


def _try_name(identity: Identity) -> str:
    host, port = split_address(identity.address)
    try:
        places = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except socket.gaierror as error:
        raise _Failed(
            "name",
            f"{host}: {error.strerror}",
            "Ask who runs the federation whether the name is right; then see to this machine's "
            "DNS (`getent hosts` asks it too)",
        ) from None
    return f"{host} is {', '.join(sorted({str(place[4][0]) for place in places}))}"


def _try_route_and_port(identity: Identity) -> str:
    began = time.monotonic()
    try:
        connect(identity.address).close()
    except TimeoutError:
        raise _Failed(
            "route",
            f"{identity.address}: nothing came back within {time.monotonic() - began:.0f} s",
            "A firewall on the way drops it, or the network is cut: have outgoing TCP to this "
            "address let through",
        ) from None
    except OSError as error:
        if error.errno in _NO_ROUTE:
            raise _Failed(
                "route",
                f"{identity.address}: {error.strerror}",
                "See to this machine's network: `ip route get` says where it would send it",
            ) from None
        raise _Failed(
            "port",
            f"{identity.address}: {error.strerror or type(error).__name__}",
            "The machine is there and nothing listens on it: have `fed-assets federation door` "
            "started, or the port corrected",
        ) from None
    return f"connected within {1000 * (time.monotonic() - began):.0f} ms"


def _try_certificate(identity: Identity) -> tuple[str, Mapping[str, Any], float]:
    _require_own_time(identity)
    began = time.time()
    try:
        stream, said = call(identity.address, identity.credentials, {"purpose": "look"})
        stream.close()
    except ssl.SSLCertVerificationError as error:
        if error.verify_code in (_NOT_YET, _EXPIRED):
            raise _Failed("clock", _times(identity), _SET) from None
        raise _Failed(
            "certificate",
            f"the door's: {error.verify_message}",
            "Somebody else answers at this address, such as a proxy that breaks TLS open, or the "
            "federation has a new authority: ask who runs it, and have outgoing TLS left whole",
        ) from None
    except (OSError, Gone, FedAssetsError) as error:
        reason = getattr(error, "reason", None) or str(error)
        raise _Failed(
            "certificate",
            f"this machine's is not taken, or it is no door: {reason}",
            "Ask for a new kit; where nobody knows of it, look what else listens there",
        ) from None
    if "trouble" in said:
        cure = "Ask who runs the federation to mend that; this machine is not to blame"
        raise _Failed("certificate", f"the door cannot look it up: {said['trouble']}", cure)
    if "time" not in said:
        seen = f"{said.get('refused')}: {said.get('seen')}"
        raise _Failed("certificate", seen, cure_of(said))
    until = identity.certificate.not_valid_after_utc
    offset = float(said["time"]) - (began + time.time()) / 2
    return f"of {identity.hospital}, until {until:%Y-%m-%d %H:%M} UTC", said, offset


_SET = "Set this machine's clock, best by NTP (`timedatectl set-ntp true`)"


def _require_own_time(identity: Identity) -> None:
    now, own = datetime.now(UTC), identity.certificate
    if now < own.not_valid_before_utc:
        seen = f"it says {now:%Y-%m-%d %H:%M}, and this machine's certificate begins later, at "
        raise _Failed("clock", f"{seen}{own.not_valid_before_utc:%Y-%m-%d %H:%M} UTC", _SET)
    if now > own.not_valid_after_utc:
        raise _Failed(
            "certificate",
            f"this machine's ended at {own.not_valid_after_utc:%Y-%m-%d %H:%M} UTC, and its clock "
            f"says {now:%Y-%m-%d %H:%M}",
            "If the clock is right, ask for a new kit: it was away for too long to renew it",
        )


def _times(identity: Identity) -> str:
    shown, now = shown_certificate(identity.address), datetime.now(UTC)
    if shown is None:
        return f"it says {now:%Y-%m-%d %H:%M}, and the door's certificate is not valid then"
    return (
        f"it says {now:%Y-%m-%d %H:%M}, and the door's certificate is valid from "
        f"{shown.not_valid_before_utc:%Y-%m-%d %H:%M} to {shown.not_valid_after_utc:%Y-%m-%d %H:%M}"
    )


def _clock(offset: float) -> Step:
    said = f"{abs(offset):.1f} s {'behind' if offset > 0 else 'ahead of'} the door's"
    return _step("clock", abs(offset) <= MOST_OFFSET_SECONDS, said, _SET)


def _versions(said: Mapping[str, Any]) -> Step:
    differ = differences(versions(), dict(said["versions"]))
    cure = "Install the same version of fed_assets on both sides, from the same constraints.txt"
    return _step("versions", not differ, "; ".join(differ) or "the same on both sides", cure)


def _authority(identity: Identity) -> Step:
    """Returns whether this machine knows who signs, now and when that one's time is over."""
    now = datetime.now(UTC)
    last = max(identity.authorities, key=lambda each: each.not_valid_after_utc)
    end = last.not_valid_after_utc
    if now > end:
        raise _Failed(
            "authority",
            f"the last that this machine knows ended at {end:%Y-%m-%d %H:%M} UTC, and its clock "
            f"says {now:%Y-%m-%d %H:%M}",
            "If the clock is right, ask for a new kit: nobody told this machine of the next one",
        )
    seen = f"the last that this machine knows ends at {end:%Y-%m-%d}"
    if now < moment(last, NEXT_SIGNS):
        return Step("authority", "ok", seen)
    return Step(
        "authority",
        "warning",
        f"{seen}, and nobody told it of the next",
        "Ask who runs the federation to keep its door running, which makes the next one, and leave "
        "this machine connected: it is told as it renews its certificate. A new kit does it too",
    )


def _step(name: str, fine: bool, seen: str, cure: str) -> Step:
    return Step(name, "ok", seen) if fine else Step(name, "failed", seen, cure)
