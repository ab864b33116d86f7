"""A session whose first hospital is revoked after the first round, and then tries to log in anew.

`python -m fed_assets_tests.federation.revoking_session PLAN.json` has the server do without the
guard that would refuse every second log-in, revoked or not.
"""

from __future__ import annotations

import os
import sys
from contextlib import closing
from pathlib import Path

from fed_assets.federation.plan import FederationPlan
from fed_assets.federation.revocations import revoke
from fed_assets.federation.session import Event, events_to_stdout, run_federation
from fed_assets.federation.site import SITES, Site
from fed_assets.federation.spawned import Spawned
from fed_assets.posture.copied_kit import copied, outcome, take_guard_away
from fed_assets_tests.federation.copied_session import client_of


def main() -> None:
    """Runs a plan; its events hold `again` (`outcome`) besides."""
    plan = FederationPlan.read(Path(sys.argv[1]))
    tell = events_to_stdout()
    hospital, sites = plan.hospitals[0], Path(plan.folder, SITES)
    place = Path(plan.folder).parent / "again" / "sites" / hospital
    (place.parent.parent / "tmp").mkdir(parents=True)

    def on_event(event: Event) -> None:
        tell(event)
        if event["event"] == "provisioned":
            take_guard_away(sites / "localhost")
        if event["event"] == "round" and event["round"]["round_number"] == 1:
            revoke(Path(plan.revocations), hospital)
        if event["event"] == "lost":
            client_of(hospital).suspend()
            copied(sites / hospital, place)
            origin.start(hospital, Site(hospital, str(place)).main_program())
            tell({"event": "again", "outcome": outcome(place)})
            client_of(hospital).resume()

    with closing(Spawned()) as origin:
        run_federation(plan, on_event)


if __name__ == "__main__":
    main()
    os._exit(0)
