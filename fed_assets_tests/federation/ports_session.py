"""A session in which somebody else takes the server's port between provisioning and its use.

`python -m fed_assets_tests.federation.ports_session PLAN.json TIMES`
"""

from __future__ import annotations

import socket
import sys
from pathlib import Path

from fed_assets.errors import FedAssetsError
from fed_assets.federation.plan import FederationPlan
from fed_assets.federation.session import Event, events_to_stdout, run_federation


def main() -> None:
    """Runs a plan; the first times that it is provisioned, its port is taken at once."""
    plan, times = FederationPlan.read(Path(sys.argv[1])), int(sys.argv[2])
    tell = events_to_stdout()
    holders: list[socket.socket] = []

    def on_event(event: Event) -> None:
        tell(event)
        if event["event"] == "provisioned" and len(holders) < times:
            holders.append(socket.create_server(("127.0.0.1", event["port"])))

    try:
        run_federation(plan, on_event)
    except FedAssetsError as error:
        tell({"event": "failed", "error": error.as_record()})


if __name__ == "__main__":
    import os

    main()
    os._exit(0)
