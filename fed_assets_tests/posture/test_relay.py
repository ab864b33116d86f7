from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import closing

import pytest

from fed_assets.posture.relay import PAUSE_SECONDS, Relay


@pytest.fixture
def echo() -> Iterator[int]:
    """Returns the port of a server that sends back what it hears."""
    listener = socket.create_server(("127.0.0.1", 0))

    def answer(link: socket.socket) -> None:
        with link:
            while content := link.recv(65_536):
                link.sendall(content)

    def serve() -> None:
        while True:
            try:
                link, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=answer, args=(link,), daemon=True).start()

    threading.Thread(target=serve, daemon=True).start()
    yield listener.getsockname()[1]
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()


def said_back(relay: Relay, content: bytes) -> bytes:
    with socket.create_connection(("127.0.0.1", relay.port), timeout=5) as link:
        link.sendall(content)
        link.shutdown(socket.SHUT_WR)
        heard = b""
        while piece := link.recv(65_536):
            heard += piece
        return heard


def test_what_passes_is_kept_and_arrives_unchanged(echo):
    with closing(Relay(echo)) as relay:
        assert said_back(relay, b"hello") == b"hello"
        assert bytes(relay.heard) == b"hellohello"
        assert relay.connections == 1


def test_the_next_long_message_is_changed_whole_and_no_other(echo):
    with closing(Relay(echo)) as relay:
        relay.change_next(bytes.upper, least_bytes=100_000)
        assert said_back(relay, b"short") == b"short"
        assert not relay.changed
        assert said_back(relay, b"a" * 100_000) == b"A" * 100_000
        assert relay.changed
        assert said_back(relay, b"a" * 100_000) == b"a" * 100_000


def test_a_connection_can_be_led_elsewhere(echo):
    with closing(Relay(1)) as relay:  # nobody listens there
        assert said_back(relay, b"") == b""
        relay.target = echo
        assert said_back(relay, b"hello") == b"hello"


def test_a_cut_drops_connections_and_lets_new_ones_in_after(echo):
    with closing(Relay(echo)) as relay, socket.create_connection(("127.0.0.1", relay.port)) as link:
        link.sendall(b"hello")
        assert link.recv(5) == b"hello"
        assert relay.cut(PAUSE_SECONDS) == 1
        assert link.recv(1) == b""
        assert said_back(relay, b"again") == b"again"
