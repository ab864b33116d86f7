"""How the door and hospitals' machines speak: by TLS 1.3 alone, each with a certificate."""

from __future__ import annotations

import socket
import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography.x509 import Certificate, load_der_x509_certificate

from fed_assets.errors import RunConfigError
from fed_assets.hosts.authority import DOOR
from fed_assets.hosts.frames import Stream

CONNECT_SECONDS = 8.0
ANSWER_SECONDS = 15.0
# A connection is given up after 20 s: by what was sent and not acknowledged, or by silence.
_KEEPALIVE = {
    "TCP_KEEPIDLE": 5,
    "TCP_KEEPINTVL": 5,
    "TCP_KEEPCNT": 3,
    "TCP_USER_TIMEOUT": 20_000,
}


@dataclass(frozen=True)
class Credentials:
    """What a hospital's machine shows at the door, and by what it knows the door.

    Attributes:
        authority: The file of the authority's certificate.
        certificate: The file of its own.
        key: The file of the key of that.
    """

    authority: Path
    certificate: Path
    key: Path

    def context(self) -> ssl.SSLContext:
        """Returns what it calls with."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        context.load_verify_locations(self.authority)
        context.load_cert_chain(self.certificate, self.key)
        return context


def split_address(address: str) -> tuple[str, int]:
    """Returns host and port of `host:port`.

    Raises:
        RunConfigError: It is none.
    """
    host, _, port = address.rpartition(":")
    if not host or not port.isdecimal() or not 0 < int(port) < 65536:
        raise RunConfigError(
            "The address of the door is none",
            seen=address,
            cure="Write it as host:port, such as federation.example.org:8443",
        )
    return host.strip("[]"), int(port)


def connect(address: str) -> socket.socket:
    """Returns a plain connection to the door.

    Raises:
        OSError: There is none.
        RunConfigError: The address is none.
    """
    return lively(socket.create_connection(split_address(address), timeout=CONNECT_SECONDS))


def lively(link: socket.socket) -> socket.socket:
    """Returns a connection that sends at once, and ends where nothing comes back for a while.

    A network that was cut says nothing: TCP alone would try for a quarter of an hour.
    """
    link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    link.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, value in _KEEPALIVE.items():
        if hasattr(socket, option):  # Linux has them all
            link.setsockopt(socket.IPPROTO_TCP, getattr(socket, option), value)
    return link


def call(address: str, credentials: Credentials, first: dict[str, Any]) -> tuple[Stream, Any]:
    """Calls at the door, says what for, and returns the connection with the door's answer.

    Raises:
        OSError: The door cannot be reached, or one of both is not taken for whom it says it is.
        Gone: It said nothing.
    """
    link = connect(address)
    try:
        stream = Stream(credentials.context().wrap_socket(link, server_hostname=DOOR))
        return stream, stream.exchange(first, ANSWER_SECONDS)
    except BaseException:
        link.close()
        raise


def shown_certificate(address: str) -> Certificate | None:
    """Returns the certificate that whoever answers there shows, without believing it."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    try:
        with connect(address) as link, context.wrap_socket(link) as spoken:
            shown = spoken.getpeercert(binary_form=True)
    except OSError:
        return None
    return load_der_x509_certificate(shown) if shown else None
