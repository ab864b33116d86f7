"""A session whose first hospital speaks to the server through a relay that listens.

`python -m fed_assets_tests.federation.observed_session PLAN.json OBSERVED.json [HOSPITAL]`
takes the config of HOSPITAL away before it starts.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import psutil

from fed_assets.errors import FedAssetsError
from fed_assets.federation.plan import FederationPlan
from fed_assets.federation.session import Event, events_to_stdout, run_federation
from fed_assets.posture.relay import Relay, lead_through


def observe(plan: FederationPlan, tell: Any, without_config: list[str]) -> dict[str, Any]:
    """Runs a plan and returns what could be seen of it from outside."""
    seen: dict[str, Any] = {}
    relays: list[Relay] = []

    def on_event(event: Event) -> None:
        if event["event"] == "provisioned":
            relays.append(Relay(event["port"]))
            lead_through(relays[0], plan, plan.hospitals[0])
            for name in without_config:
                Path(plan.folder, "sites", name, "startup", "fed_client.json").unlink()
        if event["event"] == "round" and event["round"]["round_number"] == 1:
            family = psutil.Process().children(recursive=True)
            links = [link for member in family for link in member.net_connections(kind="inet")]
            seen["listening"] = sorted({link.laddr.ip for link in links if link.status == "LISTEN"})
            seen["processes"] = len(family)
            seen["environments"] = [member.environ() for member in family]
            seen["commands"] = [member.cmdline() for member in family]
        tell(event)

    run_federation(plan, on_event)
    heard = bytes(relays[0].heard)
    weights = Path(plan.initial_weights).read_bytes()[-512:]
    seen["bytes_heard"] = len(heard)
    seen["heard"] = {
        "weights": heard.count(weights),
        "array name": heard.count(b"canary_layer.weight"),
        "metric name": heard.count(b"auroc"),
        "hospital": heard.count(plan.hospitals[0].encode()),
    }
    return seen


if __name__ == "__main__":
    tell, code = events_to_stdout(), 0
    try:
        observed = observe(FederationPlan.read(Path(sys.argv[1])), tell, sys.argv[3:])
        Path(sys.argv[2]).write_text(json.dumps(observed))
    except FedAssetsError as error:
        tell({"event": "failed", "error": error.as_record()})
        code = 1
    os._exit(code)
