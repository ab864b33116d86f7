"""Who is answered by a real server: judged by bytes received, because TLS 1.3 handshakes mislead.

Under TLS 1.3 the client's side of a handshake succeeds before the server has judged its
certificate.
"""

from __future__ import annotations

import datetime
import socket
import ssl
import time
from contextlib import closing, contextmanager

import msgpack
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from nvflare.fuel.f3.sfm.constants import HandshakeKeys, Types
from nvflare.fuel.f3.sfm.prefix import PREFIX_LEN, Prefix
from nvflare.lighter.utils import (
    Identity,
    generate_cert,
    generate_keys,
    serialize_cert,
    serialize_pri_key,
)

from fed_assets.errors import PortTaken
from fed_assets.federation.certificates import new_authority, valid_until
from fed_assets.federation.policies import Kits
from fed_assets.federation.processes import running
from fed_assets.federation.provision import provision
from fed_assets.federation.spawned import Spawned


@contextmanager
def server_of(plan, *, trusting=None):
    kits = provision(plan)
    if trusting:
        with (kits.server / "startup" / "rootCA.pem").open("ab") as authorities:
            authorities.write(trusting.certificate)
    server = Kits(kits.port, kits.server, {}, kits.admin)
    with closing(Spawned()) as origin, running(server, timeout_seconds=60, origin=origin):
        yield kits


@pytest.fixture(scope="module")
def authority(tmp_path_factory, write_plan):
    """Returns an authority whose key the tests have; `secured` trusts it beside its own."""
    return new_authority(write_plan(tmp_path_factory.mktemp("authority")))


@pytest.fixture(scope="module")
def secured(tmp_path_factory, write_plan, authority):
    plan = write_plan(tmp_path_factory.mktemp("secured"))
    with server_of(plan, trusting=authority) as kits:
        yield kits


@pytest.fixture(scope="module")
def others(tmp_path_factory, write_plan):
    return provision(write_plan(tmp_path_factory.mktemp("others")))


def hello(name):
    """Returns the first frame that an NVFlare client sends, and that a server answers."""
    content = msgpack.packb(
        {HandshakeKeys.ENDPOINT_NAME: name, HandshakeKeys.TIMESTAMP: time.time()}
    )
    frame = bytearray(PREFIX_LEN)
    Prefix(PREFIX_LEN + len(content), 0, Types.HELLO, 0, 0, 0, 1, 1).to_buffer(frame, 0)
    return bytes(frame) + content


def bytes_answered(port, name, context=None):
    """Returns how many bytes the server sends to who says hello."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=5) as plain:
            link = context.wrap_socket(plain) if context else plain
            with link:
                link.sendall(hello(name))
                link.settimeout(2)
                return len(link.recv(4096))
    except (OSError, ssl.SSLError):
        return 0


def stays_connected(port, name, context):
    """Says whether the server keeps a connection open after it has heard who is there."""
    with (
        socket.create_connection(("127.0.0.1", port), timeout=5) as plain,
        context.wrap_socket(plain) as link,
    ):
        link.sendall(hello(name))
        link.settimeout(2)
        try:
            while link.recv(4096):
                pass
        except TimeoutError:
            return True
        except OSError:
            return False
    return False


def context_of(certificate=None, key=None):
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    if certificate:
        context.load_cert_chain(certificate, key)
    return context


def kit_context(kits, name):
    startup = kits.hospitals[name] / "startup"
    return context_of(startup / "client.crt", startup / "client.key")


def self_signed(folder, name):
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    (folder / "self.crt").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    (folder / "self.key").write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return context_of(folder / "self.crt", folder / "self.key")


def signed_context(authority, folder, name, *, ends_in):
    """Returns what connects with a certificate of the authority that ends in so many seconds."""
    key, public_key = generate_keys()
    now = datetime.datetime.now(datetime.UTC)
    certificate = generate_cert(
        subject=Identity(name, name),
        issuer=Identity("eyes_on"),
        signing_pri_key=authority.key,
        subject_pub_key=public_key,
        not_valid_before=now - datetime.timedelta(hours=1),
        not_valid_after=now + datetime.timedelta(seconds=ends_in),
    )
    folder.mkdir()
    (folder / "client.crt").write_bytes(serialize_cert(certificate))
    (folder / "client.key").write_bytes(serialize_pri_key(key))
    return context_of(folder / "client.crt", folder / "client.key")


def test_a_hospital_with_its_own_certificate_is_answered(secured):
    assert bytes_answered(secured.port, "hospital_01", kit_context(secured, "hospital_01")) > 0


def test_without_a_certificate_nothing_is_answered(secured):
    assert bytes_answered(secured.port, "hospital_01", context_of()) == 0


def test_in_plain_text_nothing_is_answered(secured):
    assert bytes_answered(secured.port, "hospital_01") == 0


def test_a_self_signed_certificate_is_not_answered(secured, tmp_path):
    assert bytes_answered(secured.port, "hospital_01", self_signed(tmp_path, "hospital_01")) == 0


def test_an_expired_certificate_is_not_answered(secured, authority, tmp_path):
    name = "hospital_01"
    valid = signed_context(authority, tmp_path / "valid", name, ends_in=60)
    expired = signed_context(authority, tmp_path / "expired", name, ends_in=-1)
    assert bytes_answered(secured.port, name, valid) > 0
    assert bytes_answered(secured.port, name, expired) == 0


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
