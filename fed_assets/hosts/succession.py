"""One authority after another, without new kits: both count for as long as machines know but one.

    <folder>/authority.key, authority.crt   who signs
    <folder>/next.key, next.crt             who will, once this one nears its end
    <folder>/earlier.crt                    who did before, until its own end

The next is made when three quarters of an authority's time are over. From then on each machine is
told of it, over a connection that the one which signs vouches for, as it renews its certificate.
After seven eighths the next signs, and no sooner than a machine's certificate lasts after it was
made: each machine that has a valid one by then got it since, and knows both.
"""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import Certificate

from fed_assets.federation.kept_list import alone
from fed_assets.federation.outbox import written
from fed_assets.hosts.authority import (
    AUTHORITY_LIFETIME,
    CERTIFICATE_FILE,
    EARLIER_FILE,
    KEY_FILE,
    NEXT_CERTIFICATE_FILE,
    NEXT_KEY_FILE,
    Authority,
    make_authority,
    open_authority,
    put,
    require_not_ended,
)

NEXT_IS_MADE, NEXT_SIGNS = 3 / 4, 7 / 8  # of an authority's time
WHAT = "The authority of hospitals' hosts"


def keep_authority(folder: Path, *, known_within: timedelta) -> Authority:
    """Returns who signs now, after what is due: the next one is made, or takes over.

    Args:
        folder: Where the authority lies; it is made where there is none.
        known_within: How long a machine's certificate lasts, and so how long it takes until all
            know of the next.

    Raises:
        KitRefused: The authority cannot be used, or has ended before another was made.
        StorageError: It cannot be kept.
    """
    with written(WHAT, folder):
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    with alone(folder / CERTIFICATE_FILE, WHAT):
        with written(WHAT, folder):
            _finish(folder)
        authority, now = open_authority(folder), datetime.now(UTC)
        following = _following(folder, authority)
        with written(WHAT, folder):
            if following is None and now > moment(authority.certificate, NEXT_IS_MADE):
                require_not_ended(authority.certificate)
                make_authority(folder, NEXT_KEY_FILE, NEXT_CERTIFICATE_FILE, AUTHORITY_LIFETIME)
            elif following is not None and now > _takes_over(authority, following, known_within):
                earlier = authority.certificate.public_bytes(Encoding.PEM)
                put(folder / EARLIER_FILE, earlier)
                (folder / NEXT_CERTIFICATE_FILE).replace(folder / CERTIFICATE_FILE)
                _finish(folder)
        authority = open_authority(folder)
    require_not_ended(authority.certificate)
    return authority


def outlook(authority: Authority) -> tuple[str, str]:
    """Returns what lies before an authority: what is seen of it, and what is to be done.

    Raises:
        KitRefused: It has ended.
    """
    own = authority.certificate
    require_not_ended(own)
    seen = f"until {own.not_valid_after_utc:%Y-%m-%d}"
    end = own.not_valid_after_utc
    if any(each.not_valid_after_utc > end for each in authority.others):
        return f"{seen}, and the next is made; machines are told of it as they renew", ""
    made = moment(own, NEXT_IS_MADE)
    if datetime.now(UTC) < made:
        return f"{seen}; the door makes the next by itself from {made:%Y-%m-%d} on", ""
    return (
        f"{seen}, and no other is made yet",
        "Start `fed-assets federation door` and leave it running: it makes the next one, and each "
        "hospital's machine is told of it within the 15 days after which it renews its certificate",
    )


def moment(certificate: Certificate, share: float) -> datetime:
    """Returns when so much of a certificate's time is over."""
    begin, end = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    return begin + share * (end - begin)


def _takes_over(authority: Authority, following: Certificate, known_within: timedelta) -> datetime:
    known = following.not_valid_before_utc + known_within
    signs = max(moment(authority.certificate, NEXT_SIGNS), known)
    return min(signs, authority.certificate.not_valid_after_utc)


def _following(folder: Path, authority: Authority) -> Certificate | None:
    """Returns the certificate of who signs next, if that was made as a whole."""
    if not (folder / NEXT_KEY_FILE).exists() or not (folder / NEXT_CERTIFICATE_FILE).exists():
        return None
    return authority.others[0]


def _finish(folder: Path) -> None:
    """Ends what broke off as the next took over: its certificate has, and its key has not."""
    if not (folder / NEXT_CERTIFICATE_FILE).exists():
        with suppress(FileNotFoundError):
            (folder / NEXT_KEY_FILE).replace(folder / KEY_FILE)
