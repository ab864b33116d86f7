"""How server and hospitals listen where links are encrypted: by TLS 1.3 alone.

NVFlare's own driver speaks TLS 1.2 too, which nothing in its configuration changes; and while one
caller shakes hands with it, all others wait, for as long as he likes. Drivers can be added, each
for a scheme of its own. Clients go on calling by `tcp`, as NVFlare wants it of them: where whoever
listens speaks 1.3 alone, so does the link.
"""

from __future__ import annotations

import logging
import ssl
from typing import Any

from nvflare.fuel.f3.communicator import driver_mgr
from nvflare.fuel.f3.drivers.connector_info import ConnectorInfo
from nvflare.fuel.f3.drivers.driver_params import DriverParams
from nvflare.fuel.f3.drivers.net_utils import get_tcp_urls
from nvflare.fuel.f3.drivers.tcp_driver import TcpDriver, TcpStreamServer

from fed_assets.federation.policies import TLS_SCHEME

HANDSHAKE_SECONDS = 10.0
log = logging.getLogger(__name__)


class TlsDriver(TcpDriver):  # type: ignore[misc]
    """Listens by TLS 1.3, and calls whoever listens so."""

    @staticmethod
    def supported_transports() -> list[str]:
        """Returns the schemes of the addresses that are its own."""
        return [TLS_SCHEME]

    @staticmethod
    def get_urls(scheme: str, resources: dict[str, Any]) -> tuple[str, str]:
        """Returns an address to call, and the one to listen on for that."""
        connect, listen = get_tcp_urls(scheme, resources)
        return str(connect), str(listen)

    def listen(self, connector: ConnectorInfo) -> None:
        """Answers whoever calls, until it is shut down."""
        _encrypted(connector)
        self.connector = connector
        self.server = _Listener(self, connector)
        self.server.serve_forever()

    def connect(self, connector: ConnectorInfo) -> None:
        """Calls, and passes on what is said until the connection ends."""
        _encrypted(connector)
        super().connect(connector)


class _Listener(TcpStreamServer):  # type: ignore[misc]
    """Shakes hands with each caller in that caller's own thread."""

    daemon_threads = True  # a caller who says nothing does not keep the process from ending

    def __init__(self, driver: TlsDriver, connector: ConnectorInfo) -> None:
        super().__init__(driver, connector)
        # Whoever has called by now is accepted later.
        self.ssl_context.minimum_version = ssl.TLSVersion.TLSv1_3
        self.socket.do_handshake_on_connect = False

    def finish_request(self, request: ssl.SSLSocket, client_address: Any) -> None:
        """Passes on what a caller says, once he has proved who he is."""
        request.settimeout(HANDSHAKE_SECONDS)
        try:
            request.do_handshake()
        except OSError as error:
            log.debug("A caller was refused: %s", error)
            return
        request.settimeout(None)
        super().finish_request(request, client_address)


def _encrypted(connector: ConnectorInfo) -> None:
    """Says what NVFlare tells from the scheme of addresses that it knows."""
    connector.params[DriverParams.SECURE.value] = True


def provide_tls() -> None:
    """Has NVFlare know the driver, in this process."""
    driver_mgr.register(TlsDriver)
