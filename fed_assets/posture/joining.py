"""Attempts to join a federation that runs, each beside one that is let in."""

from __future__ import annotations

import ssl
from contextlib import closing
from pathlib import Path

from fed_assets.federation.plan import FederationPlan
from fed_assets.federation.site import SITES
from fed_assets.posture.evidence import Attempt
from fed_assets.posture.knocking import Impostor, bytes_answered, stays_connected
from fed_assets.posture.strangers import Strangers, client_context
from fed_assets.posture.transit_notes import Notes

ANOTHER = "another_hospital"


def try_to_join(plan: FederationPlan, port: int, strangers: Strangers, notes: Notes) -> None:
    """Knocks at a server's port as whoever must be refused, and as who must not.

    Where the server asks for no certificate, none is shown: whoever speaks plain text is judged.

    Args:
        plan: The federation's.
        port: The server's.
        strangers: Makes the certificates; the server trusts one of their authorities.
        notes: Gets what came of it.
    """
    secured = plan.transport == "mtls"
    hospital = plan.hospitals[0]

    def shown(context: ssl.SSLContext | None) -> ssl.SSLContext | None:
        return context if secured else None

    def answered(context: ssl.SSLContext | None) -> Attempt:
        count = bytes_answered(port, hospital, shown(context))
        return Attempt(count > 0, {"bytes": count})

    def kept(name: str) -> Attempt:
        stays = stays_connected(port, name, shown(another))
        return Attempt(stays, {"stays_connected": str(stays)})

    own = _own(plan, hospital) if secured else None
    valid, another = strangers.valid(hospital), strangers.valid(ANOTHER)
    refused = strangers.refused(hospital)
    notes.begin()
    for what, context in {**refused, "in_plain": None}.items():
        notes.control(f"join_{what}", answered(valid if what == "expired" else own))
        notes.attempt(f"join_{what}", answered(context))
    notes.control("join_with_another_hospitals", kept(ANOTHER))
    notes.attempt("join_with_another_hospitals", kept(hospital))
    old = _own(plan, hospital) if secured else valid
    old.maximum_version = ssl.TLSVersion.TLSv1_2
    with closing(Impostor(strangers.impostor())) as open_to_old:
        bytes_answered(open_to_old.port, hospital, old)
        notes.control(
            "speak_tls_1_2", Attempt(any(open_to_old.heard), {"bytes": sum(open_to_old.heard)})
        )
    notes.attempt("speak_tls_1_2", answered(old))


def _own(plan: FederationPlan, hospital: str) -> ssl.SSLContext:
    """Returns what a hospital itself connects with."""
    startup = Path(plan.folder, SITES, hospital, "startup")
    return client_context(startup / "client.crt", startup / "client.key")
