"""A session whose first hospital speaks to the server through a relay that listens.

`python -m fed_assets_tests.federation.observed_session PLAN.json OBSERVED.json [HOSPITAL]`
takes the config of HOSPITAL away before it starts.
"""

from __future__ import annotations

import json
import os
import socket
import sys
import threading
from pathlib import Path
from typing import Any

import psutil

from fed_assets.errors import FedAssetsError
from fed_assets.federation.plan import FederationPlan
from fed_assets.federation.session import Event, events_to_stdout, run_federation


class Relay:
    """Passes bytes on between clients and one port, and keeps a copy."""

    def __init__(self, target: int) -> None:
        self._target = target
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.heard = bytearray()
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            client, _ = self._listener.accept()
            server = socket.create_connection(("127.0.0.1", self._target))
            for source, sink in ((client, server), (server, client)):
                threading.Thread(target=self._pass_on, args=(source, sink), daemon=True).start()

    def _pass_on(self, source: socket.socket, sink: socket.socket) -> None:
        try:
            while content := source.recv(65536):
                self.heard += content
                sink.sendall(content)
            sink.shutdown(socket.SHUT_WR)
        except OSError:
            return


def observe(plan: FederationPlan, tell: Any, without_config: list[str]) -> dict[str, Any]:
    """Runs a plan and returns what could be seen of it from outside."""
    seen: dict[str, Any] = {}
    relays: list[Relay] = []

    def on_event(event: Event) -> None:
        if event["event"] == "provisioned":
            relays.append(Relay(event["port"]))
            config = Path(plan.folder, "sites", plan.hospitals[0], "startup", "fed_client.json")
            redirected = config.read_text().replace(
                f"localhost:{event['port']}", f"localhost:{relays[0].port}"
            )
            config.write_text(redirected)
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
