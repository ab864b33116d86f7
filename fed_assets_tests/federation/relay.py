"""A relay between one hospital and the server: it listens, and can be cut."""

from __future__ import annotations

import socket
import threading
import time
from contextlib import suppress
from pathlib import Path

from fed_assets.federation.plan import FederationPlan


class Relay:
    """Passes bytes on between clients and one port, and keeps a copy."""

    def __init__(self, target: int) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._ends: list[socket.socket] = []
        self.target = target
        self.port = self._listener.getsockname()[1]
        self.heard = bytearray()
        self._listen()

    def cut(self, seconds: float) -> int:
        """Drops every connection, refuses new ones for a time, and returns how many it dropped."""
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        ends, self._ends = self._ends, []
        for end in ends:
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()
        time.sleep(seconds)
        self._listener = socket.create_server(("127.0.0.1", self.port))
        self._listen()
        return len(ends) // 2

    def _listen(self) -> None:
        threading.Thread(target=self._accept, args=(self._listener,), daemon=True).start()

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            server = socket.create_connection(("127.0.0.1", self.target))
            self._ends += [client, server]
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


def lead_through(relay: Relay, plan: FederationPlan, hospital: str) -> None:
    """Has a hospital that has not started yet speak to the server through a relay."""
    config = Path(plan.folder, "sites", hospital, "startup", "fed_client.json")
    direct, led = (f"localhost:{port}" for port in (relay.target, relay.port))
    config.write_text(config.read_text().replace(direct, led))
