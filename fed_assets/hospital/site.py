"""Which hospital a site is, and what it promised: from its own configuration, never from a job."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from fed_assets.errors import IdentityRefused, RunConfigError
from fed_assets.hospital.files import Store
from fed_assets.hospital.small_counts import limit_of
from fed_assets.sandboxes.controls import JobCode
from fed_assets.sandboxes.protection import Protection

HOSPITAL_FILE = "hospital.json"


@dataclass(frozen=True)
class Site:
    """Which hospital a site is.

    Attributes:
        hospital: Its id.
        store: Its store.
        suppress_below: The least count but zero that it tells.
        measured: Whether its code is measured in each round.
        protection: What it does to its updates.
    """

    hospital: str
    store: Store
    suppress_below: int
    measured: bool
    protection: Protection


def read_site(local: Path, certified: str) -> Site:
    """Returns what a site's own configuration says of it.

    Args:
        local: The folder of the configuration.
        certified: The hospital that the site's certificate names.

    Raises:
        RunConfigError: the file is missing or cannot be used, or does not say how files are kept,
            which counts are suppressed and what is done to updates.
        IdentityRefused: it names another hospital than the site's certificate.
    """
    try:
        identity = json.loads((local / HOSPITAL_FILE).read_text())
        hospital = str(identity["hospital"])
        store, below = Store.of(hospital, identity), limit_of(identity)
        protection = Protection.of(identity.get("update_protection"))
        measured = identity.get("job_code") == JobCode.MEASURED
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise RunConfigError(
            "The site does not say which hospital it is",
            where=f"local/{HOSPITAL_FILE}",
            seen=type(error).__name__,
            cure="Provision the federation again.",
        ) from error
    if hospital != certified:
        raise IdentityRefused(
            "A site was told to act for another hospital",
            where=f"local/{HOSPITAL_FILE}",
            seen=f"{hospital} at the site {certified}",
            cure="Provision the federation again.",
        )
    return Site(hospital, store, below, measured, protection)
