"""A server is impersonated; the other side of it, real servers, stands in test_certificates.py."""

from __future__ import annotations

import socket
import ssl
import time
from contextlib import closing

import pytest

from fed_assets.posture.knocking import Impostor, bytes_answered, hello, stays_connected
from fed_assets.posture.strangers import Strangers, client_context
from fed_assets.posture.transit_runs import canary_plan
from fed_assets.sandboxes.presets import EYES_ON


@pytest.fixture(scope="module")
def strangers(tmp_path_factory):
    root = tmp_path_factory.mktemp("strangers")
    plan = canary_plan(EYES_ON, root / "federation", EYES_ON.transport)
    return Strangers.of(plan, root / "certificates")


def wait_for(things: list[int]) -> list[int]:
    """Returns what an impostor's thread puts into a list, once there is something."""
    deadline = time.monotonic() + 5
    while not things and time.monotonic() < deadline:
        time.sleep(0.01)
    return things


def test_whoever_trusts_any_server_entrusts_itself_to_an_impostor(strangers):
    with closing(Impostor(strangers.impostor())) as impostor:
        assert bytes_answered(impostor.port, "hospital_01", client_context()) == 0
        assert impostor.heard == [len(hello("hospital_01"))]


def test_whoever_trusts_its_own_authority_alone_says_nothing_to_an_impostor(strangers):
    careful = ssl.create_default_context(cadata=strangers.trusted.certificate.decode())
    careful.check_hostname = False
    with closing(Impostor(strangers.impostor())) as impostor:
        assert bytes_answered(impostor.port, "hospital_01", careful) == 0
        assert wait_for(impostor.heard) == [0]


def test_an_impostor_gives_way_after_each_client():
    left: list[int] = []
    with closing(Impostor(None, lambda: left.append(1))) as impostor:
        assert not stays_connected(impostor.port, "hospital_01")
        assert (len(wait_for(left)), len(impostor.heard)) == (1, 1)


def test_where_nobody_listens_nothing_is_shown():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(ConnectionRefusedError):
        bytes_answered(port, "hospital_01")
    with pytest.raises(ConnectionRefusedError):
        stays_connected(port, "hospital_01")


def test_strangers_keys_are_readable_by_this_user_alone(strangers):
    strangers.refused("hospital_01")
    assert strangers.folder.stat().st_mode & 0o077 == 0
    assert [path for path in strangers.folder.iterdir() if path.stat().st_mode & 0o077] == []
