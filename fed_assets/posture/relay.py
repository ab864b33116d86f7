"""A relay between one hospital and the server: it listens, changes what passes, and can be cut."""

from __future__ import annotations

import select
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from fed_assets.federation.plan import FederationPlan

PIECE_BYTES = 65_536
# What a sender writes at once comes without a pause as long as this.
PAUSE_SECONDS = 0.05


class Relay:
    """Passes bytes on between clients and one port, and keeps a copy.

    Attributes:
        target: The port that new connections are led to; it may be another one from now on.
        port: Where it listens, on loopback.
        connections: How many came in so far.
        heard: What passed in either direction, as it came.
    """

    def __init__(self, target: int) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._ends: list[socket.socket] = []
        self._change: Callable[[bytes], bytes] | None = None
        self._least_bytes = 0
        self.target = target
        self.port = self._listener.getsockname()[1]
        self.connections = 0
        self.heard = bytearray()
        self._listen()

    def change_next(self, change: Callable[[bytes], bytes], *, least_bytes: int) -> None:
        """Has what a client next sends at once changed on its way, where it is that long."""
        self._least_bytes, self._change = least_bytes, change

    @property
    def changed(self) -> bool:
        """Whether nothing waits to be changed any more."""
        return self._change is None

    def cut(self, seconds: float) -> int:
        """Drops every connection, refuses new ones for a time, and returns how many it dropped."""
        dropped = self.close()
        time.sleep(seconds)
        self._listener = socket.create_server(("127.0.0.1", self.port))
        self._listen()
        return dropped

    def close(self) -> int:
        """Drops every connection, listens no more, and returns how many it dropped."""
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        ends, self._ends = self._ends, []
        for end in ends:
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()
        return len(ends) // 2

    def _listen(self) -> None:
        threading.Thread(target=self._accept, args=(self._listener,), daemon=True).start()

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            try:
                server = socket.create_connection(("127.0.0.1", self.target))
            except OSError:
                client.close()
                continue
            self.connections += 1
            self._ends += [client, server]
            for source, sink in ((client, server), (server, client)):
                arguments = (source, sink, source is client)
                threading.Thread(target=self._pass_on, args=arguments, daemon=True).start()

    def _pass_on(self, source: socket.socket, sink: socket.socket, upwards: bool) -> None:
        try:
            while content := source.recv(PIECE_BYTES):
                if upwards and self._change is not None:
                    content = self._changed(source, content)
                self.heard += content
                sink.sendall(content)
            sink.shutdown(socket.SHUT_WR)
        except OSError:
            return

    def _changed(self, source: socket.socket, content: bytes) -> bytes:
        """Returns all that comes at once, changed if it is long enough."""
        while select.select([source], [], [], PAUSE_SECONDS)[0]:
            more = source.recv(PIECE_BYTES)
            if not more:
                break
            content += more
        change = self._change
        if change is None or len(content) < self._least_bytes:
            return content
        self._change = None
        return change(content)


def lead_through(relay: Relay, plan: FederationPlan, hospital: str) -> None:
    """Has a hospital that has not started yet speak to the server through a relay.

    The relay's target has to be the server's port meanwhile.
    """
    config = Path(plan.folder, "sites", hospital, "startup", "fed_client.json")
    direct, led = (f"localhost:{port}" for port in (relay.target, relay.port))
    config.write_text(config.read_text().replace(direct, led))
