"""Who is answered by a real server: judged by bytes received, because TLS 1.3 handshakes mislead.

Under TLS 1.3 the client's side of a handshake succeeds before the server has judged its
certificate.
"""

from __future__ import annotations

import datetime
import socket
from contextlib import closing, contextmanager

import pytest
from cryptography import x509

from fed_assets.errors import PortTaken
from fed_assets.federation.certificates import valid_until
from fed_assets.federation.policies import Kits
from fed_assets.federation.processes import running
from fed_assets.federation.provision import provision
from fed_assets.federation.spawned import Spawned
from fed_assets.posture.knocking import bytes_answered, stays_connected
from fed_assets.posture.strangers import Strangers, client_context


@contextmanager
def server_of(plan, *, strangers=None):
    kits = provision(plan)
    if strangers:
        strangers.trust(kits.server)
    server = Kits(kits.port, kits.server, {}, kits.admin)
    with closing(Spawned()) as origin, running(server, timeout_seconds=60, origin=origin):
        yield kits


@pytest.fixture(scope="module")
def plan(tmp_path_factory, write_plan):
    return write_plan(tmp_path_factory.mktemp("secured"))


@pytest.fixture(scope="module")
def strangers(tmp_path_factory, plan):
    """Returns who has certificates of an authority that `secured` trusts beside its own."""
    return Strangers.of(plan, tmp_path_factory.mktemp("strangers") / "certificates")


@pytest.fixture(scope="module")
def refused(strangers):
    return strangers.refused("hospital_01")


@pytest.fixture(scope="module")
def secured(plan, strangers):
    with server_of(plan, strangers=strangers) as kits:
        yield kits


@pytest.fixture(scope="module")
def others(tmp_path_factory, write_plan):
    return provision(write_plan(tmp_path_factory.mktemp("others")))


def kit_context(kits, name):
    startup = kits.hospitals[name] / "startup"
    return client_context(startup / "client.crt", startup / "client.key")


def test_a_hospital_with_its_own_certificate_is_answered(secured):
    assert bytes_answered(secured.port, "hospital_01", kit_context(secured, "hospital_01")) > 0


@pytest.mark.parametrize("what", ["without_certificate", "self_signed"])
def test_who_has_no_certificate_of_the_federations_is_not_answered(secured, refused, what):
    assert bytes_answered(secured.port, "hospital_01", refused[what]) == 0


def test_in_plain_text_nothing_is_answered(secured):
    assert bytes_answered(secured.port, "hospital_01") == 0


def test_an_expired_certificate_is_not_answered(secured, strangers, refused):
    valid = strangers.valid("hospital_01")
    assert bytes_answered(secured.port, "hospital_01", valid) > 0
    assert bytes_answered(secured.port, "hospital_01", refused["expired"]) == 0


def test_the_same_hospital_of_another_federation_is_not_answered(secured, others):
    assert bytes_answered(secured.port, "hospital_01", kit_context(others, "hospital_01")) == 0


def test_a_hospital_that_claims_to_be_another_is_cut_off(secured):
    context = kit_context(secured, "hospital_01")
    assert stays_connected(secured.port, "hospital_01", context)
    assert not stays_connected(secured.port, "hospital_02", context)


@pytest.mark.parametrize(
    ("asked", "seconds"), [(0.0, 150 + 3600), (7 * 86400.0, 7 * 86400)], ids=["run", "warm"]
)
def test_every_certificate_ends_with_what_the_federation_is_for(
    tmp_path, write_plan, asked, seconds
):
    before = datetime.datetime.now(datetime.UTC)
    plan = write_plan(tmp_path, hospitals=1, total_timeout_seconds=150, certificate_seconds=asked)
    kits = provision(plan)
    files = [*kits.server.parent.rglob("*.crt"), *kits.server.parent.rglob("rootCA.pem")]
    found = [x509.load_pem_x509_certificate(file.read_bytes()) for file in files]
    assert len(found) == 6
    assert {each.not_valid_after_utc for each in found} == {valid_until(kits)}
    lasts = (valid_until(kits) - before).total_seconds()
    assert seconds - 1 <= lasts <= seconds + 60


def test_in_a_clear_federation_anyone_is_answered(tmp_path, write_plan):
    with server_of(write_plan(tmp_path, transport="clear")) as kits:
        assert bytes_answered(kits.port, "hospital_01") > 0


def test_a_port_that_was_taken_after_provisioning_is_named(tmp_path, write_plan):
    kits = provision(write_plan(tmp_path))
    with (
        socket.create_server(("127.0.0.1", kits.port)),
        closing(Spawned()) as origin,
        pytest.raises(PortTaken, match=f"Port {kits.port} was taken"),
        running(kits, timeout_seconds=30, origin=origin),
    ):
        pass
