"""A port that was free when the federation was provisioned, and is not when its server starts."""

from __future__ import annotations

import socket
from pathlib import Path

import psutil
import pytest

from fed_assets.errors import PortTaken
from fed_assets.federation.live import PORT_TRIES
from fed_assets.federation.policies import INTERNAL_PORTS
from fed_assets.federation.provision import free_port

pytestmark = pytest.mark.slow

TAKING = "fed_assets_tests.federation.ports_session"


def test_free_ports_are_none_that_the_system_or_nvflare_gives_to_others():
    internal = range(*map(int, INTERNAL_PORTS.split("-")))
    ephemeral = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    for _ in range(50):
        port = free_port()
        assert port not in internal
        assert port < ephemeral


def provisioned(session):
    return [event["port"] for event in session.events if event["event"] == "provisioned"]


def test_a_lost_port_is_exchanged_for_another_and_the_run_succeeds(
    tmp_path, write_plan, start_session
):
    plan = write_plan(tmp_path)
    session = start_session(plan, "1", module=TAKING)
    session.until("submitted")
    lost, own = provisioned(session)
    assert lost != own
    server = session.named("server_train server")
    (listener,) = [
        link
        for link in psutil.Process(server.pid).net_connections(kind="tcp")
        if link.status == psutil.CONN_LISTEN and link.laddr.port in (lost, own)
    ]
    assert listener.laddr.port == own
    session.finish()
    assert session.result["status"] == "complete"
    # The kits of the lost port are gone: whoever holds it meets nobody's keys.
    kits = Path(plan.folder, "sites").glob("*/startup/*.json")
    assert not any(str(lost) in path.read_text() for path in kits)


@pytest.mark.parametrize("fixed", [True, False])
def test_a_port_that_cannot_be_had_ends_the_run_by_its_name(
    tmp_path, write_plan, start_session, fixed
):
    with socket.create_server(("127.0.0.1", 0)) as holder:
        port = holder.getsockname()[1] if fixed else 0
    session = start_session(write_plan(tmp_path, port=port), str(PORT_TRIES), module=TAKING)
    session.finish()
    assert isinstance(session.failure, PortTaken)
    tried = provisioned(session)
    assert len(set(tried)) == (1 if fixed else PORT_TRIES)
    assert f"Port {tried[-1]} was taken" in session.failure.what
    assert list(session.temporary.iterdir()) == []
