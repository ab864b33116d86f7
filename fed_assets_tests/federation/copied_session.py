"""A session whose first hospital's kit is copied, and used from another folder, once all are ready.

`python -m fed_assets_tests.federation.copied_session PLAN.json [unguarded]` has the server do
without its guard where it is told so. The hospital itself is frozen meanwhile: otherwise it and its
copy would take the connection from each other.
"""

from __future__ import annotations

import os
import sys
from contextlib import closing
from pathlib import Path

import psutil

from fed_assets.errors import FedAssetsError
from fed_assets.federation.plan import FederationPlan
from fed_assets.federation.session import Event, events_to_stdout, run_federation
from fed_assets.federation.site import SITES, Site
from fed_assets.federation.spawned import Spawned
from fed_assets.posture.copied_kit import copied, outcome, take_guard_away


def client_of(hospital: str) -> psutil.Process:
    """Returns the process of a hospital's client in this session."""
    title = f"client_train uid={hospital}"
    family = psutil.Process().children(recursive=True)
    (client,) = [each for each in family if title in " ".join(each.cmdline())]
    return client


def main() -> None:
    """Runs a plan; its events hold `copy` (`outcome`) besides."""
    plan, unguarded = FederationPlan.read(Path(sys.argv[1])), "unguarded" in sys.argv
    tell = events_to_stdout()
    hospital, sites = plan.hospitals[0], Path(plan.folder, SITES)
    place = Path(plan.folder).parent / "elsewhere" / "sites" / hospital
    (place.parent.parent / "tmp").mkdir(parents=True)

    def on_event(event: Event) -> None:
        tell(event)
        if event["event"] == "provisioned" and unguarded:
            take_guard_away(sites / "localhost")
        if event["event"] == "started":
            client = client_of(hospital)
            client.suspend()
            copied(sites / hospital, place)
            origin.start(hospital, Site(hospital, str(place)).main_program())
            tell({"event": "copy", "outcome": outcome(place)})
            if not unguarded:
                client.resume()

    with closing(Spawned()) as origin:
        try:
            run_federation(plan, on_event)
        except FedAssetsError as error:
            tell({"event": "failed", "error": error.as_record()})


if __name__ == "__main__":
    main()
    os._exit(0)
