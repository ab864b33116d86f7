"""A session whose first hospital loses its connection to the server in the second round.

`python -m fed_assets_tests.federation.cut_session PLAN.json SECONDS`
"""

from __future__ import annotations

import os
import sys
import threading
import time
from pathlib import Path

from fed_assets.federation.plan import FederationPlan
from fed_assets.federation.session import Event, events_to_stdout, run_federation
from fed_assets.posture.relay import Relay, lead_through

# Into the second round: the hospital has its task by then.
CUT_AFTER_SECONDS = 0.5


def main() -> None:
    """Runs a plan; its events hold `cut` (`connections`: how many were dropped) besides."""
    plan, seconds = FederationPlan.read(Path(sys.argv[1])), float(sys.argv[2])
    tell = events_to_stdout()
    relays: list[Relay] = []

    def cut() -> None:
        time.sleep(CUT_AFTER_SECONDS)
        tell({"event": "cut", "connections": relays[0].cut(seconds)})

    def on_event(event: Event) -> None:
        tell(event)
        if event["event"] == "provisioned":
            relays.append(Relay(event["port"]))
            lead_through(relays[0], plan, plan.hospitals[0])
        if event["event"] == "round" and event["round"]["round_number"] == 1:
            threading.Thread(target=cut, daemon=True).start()

    run_federation(plan, on_event)


if __name__ == "__main__":
    main()
    os._exit(0)
