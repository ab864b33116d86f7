"""What our driver refuses and NVFlare's own takes: TLS 1.2, and callers who keep others waiting."""

from __future__ import annotations

import socket
import ssl
import threading
import time
from contextlib import closing, contextmanager

import pytest
from nvflare.fuel.f3.drivers.connector_info import ConnectorInfo, Mode
from nvflare.fuel.f3.drivers.driver import ConnMonitor
from nvflare.fuel.f3.drivers.tcp_driver import TcpDriver

from fed_assets.federation.policies import TLS_SCHEME
from fed_assets.federation.provision import free_port, provision
from fed_assets.federation.tls import TlsDriver
from fed_assets.posture.strangers import client_context

WAIT_SECONDS = 1.0


class Uninterested(ConnMonitor):
    def state_change(self, connection):
        pass


@pytest.fixture(scope="module")
def kits(tmp_path_factory, write_plan):
    return provision(write_plan(tmp_path_factory.mktemp("kits"), hospitals=1))


@contextmanager
def listening(driver, kits):
    """Yields the port of a driver that listens as a server's does."""
    startup, port = kits.server / "startup", free_port()
    files = {"ca_cert": "rootCA.pem", "server_cert": "server.crt", "server_key": "server.key"}
    params = {
        **{name: str(startup / file) for name, file in files.items()},
        "scheme": "tcp",
        "host": "127.0.0.1",
        "port": str(port),
        "secure": True,
    }
    connector = ConnectorInfo("CH", driver, params, Mode.PASSIVE, 0, 0, False, threading.Event())
    driver.register_conn_monitor(Uninterested())
    thread = threading.Thread(target=driver.listen, args=(connector,), daemon=True)
    thread.start()
    until = time.monotonic() + 5
    while driver.server is None or not driver.server.fileno() > 0:
        assert time.monotonic() < until
        time.sleep(0.01)
    time.sleep(0.1)  # until it serves; it can be shut down only then
    yield port
    driver.shutdown()
    driver.server.server_close()
    thread.join(5)


def calling(port):
    return closing(socket.create_connection(("127.0.0.1", port), timeout=WAIT_SECONDS))


def spoken(port, kits, newest=ssl.TLSVersion.TLSv1_3):
    """Returns the version in which a hospital and whoever listens come to speak."""
    startup = kits.hospitals["hospital_01"] / "startup"
    context = client_context(startup / "client.crt", startup / "client.key")
    context.maximum_version = newest
    with calling(port) as plain, context.wrap_socket(plain) as link:
        return link.version()


def test_tls_1_2_is_refused_that_nvflares_own_driver_speaks(kits):
    with listening(TlsDriver(), kits) as port:
        assert spoken(port, kits) == "TLSv1.3"
        with pytest.raises(ssl.SSLError, match="PROTOCOL_VERSION"):
            spoken(port, kits, ssl.TLSVersion.TLSv1_2)
    with listening(TcpDriver(), kits) as port:
        assert spoken(port, kits, ssl.TLSVersion.TLSv1_2) == "TLSv1.2"


def test_a_caller_who_says_nothing_keeps_nobody_waiting(kits):
    with listening(TlsDriver(), kits) as port, calling(port):
        assert spoken(port, kits) == "TLSv1.3"
    with listening(TcpDriver(), kits) as port, calling(port), pytest.raises(TimeoutError):
        spoken(port, kits)


def test_it_calls_and_listens_by_a_scheme_of_its_own():
    resources = {"host": "localhost", "ports": "20000-32000", "connection_security": "mtls"}
    connect, listen = TlsDriver.get_urls(TLS_SCHEME, resources)
    assert connect.startswith("tls13://localhost:")
    assert listen == connect.replace("localhost", "127.0.0.1")
