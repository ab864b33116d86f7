"""Who is answered by a server, and who is believed by a client: judged by bytes received.

Under TLS 1.3 the client's side of a handshake succeeds before the server has judged its
certificate: that it succeeded says nothing.
"""

from __future__ import annotations

import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import msgpack  # type: ignore[import-untyped]
from nvflare.fuel.f3.sfm.constants import HandshakeKeys, Types
from nvflare.fuel.f3.sfm.prefix import PREFIX_LEN, Prefix

CONNECT_SECONDS = 5.0
ANSWER_SECONDS = 2.0


def hello(name: str) -> bytes:
    """Returns the first frame that an NVFlare client sends, and that a server answers."""
    content: bytes = msgpack.packb(
        {HandshakeKeys.ENDPOINT_NAME: name, HandshakeKeys.TIMESTAMP: time.time()}
    )
    frame = bytearray(PREFIX_LEN)
    Prefix(PREFIX_LEN + len(content), 0, Types.HELLO, 0, 0, 0, 1, 1).to_buffer(frame, 0)
    return bytes(frame) + content


def bytes_answered(port: int, name: str, context: ssl.SSLContext | None = None) -> int:
    """Returns how many bytes a server sends to who says hello, without TLS if no context is given.

    Raises:
        ConnectionRefusedError: Nobody listens, so that nothing is shown.
    """
    plain = socket.create_connection(("127.0.0.1", port), timeout=CONNECT_SECONDS)
    with suppress(OSError), _link(plain, context) as link:
        link.sendall(hello(name))
        return len(link.recv(4096))
    return 0


def stays_connected(port: int, name: str, context: ssl.SSLContext | None = None) -> bool:
    """Says whether a server keeps a connection open after it has heard who is there.

    Raises:
        ConnectionRefusedError: Nobody listens, so that nothing is shown.
    """
    plain = socket.create_connection(("127.0.0.1", port), timeout=CONNECT_SECONDS)
    with suppress(OSError), _link(plain, context) as link:
        link.sendall(hello(name))
        try:
            while link.recv(4096):
                pass
        except TimeoutError:
            return True
    return False


@contextmanager
def _link(plain: socket.socket, context: ssl.SSLContext | None) -> Iterator[socket.socket]:
    """Yields a connection that waits for answers for a short time alone, and closes it."""
    with plain:
        link = context.wrap_socket(plain) if context else plain
        with link:
            link.settimeout(ANSWER_SECONDS)
            yield link


class Impostor:
    """Stands in a server's place, and counts what clients entrust to it; it answers none.

    Attributes:
        port: Where it listens, on loopback.
        heard: How many bytes each client sent it, beside what TLS itself needs.

    Args:
        context: What it answers with; none for plain text.
        then: Called after each client has left.
    """

    def __init__(
        self, context: ssl.SSLContext | None, then: Callable[[], None] = lambda: None
    ) -> None:
        self._context, self._then = context, then
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.heard: list[int] = []
        threading.Thread(target=self._serve, daemon=True).start()

    def close(self) -> None:
        """Listens no more."""
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _serve(self) -> None:
        while True:
            try:
                plain, _ = self._listener.accept()
            except OSError:
                return
            plain.settimeout(ANSWER_SECONDS)
            with plain:
                self._listen_to(plain)
            self._then()

    def _listen_to(self, plain: socket.socket) -> None:
        """Counts what comes, before the client hears of the connection's end."""
        context, heard = self._context, 0
        try:
            link = context.wrap_socket(plain, server_side=True) if context else plain
            heard = len(link.recv(4096))
        except OSError:
            link = plain  # refused, or nothing came
        self.heard.append(heard)
        link.close()
