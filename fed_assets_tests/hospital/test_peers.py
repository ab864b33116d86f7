from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.x509.oid import NameOID
from nvflare.lighter.utils import serialize_cert

from fed_assets.errors import IdentityRefused, RunConfigError
from fed_assets.hospital.peers import Peers, read_peers
from fed_assets.privacy.masking import Turn
from fed_assets_tests.hospital.masking_peers import (
    FEDERATION,
    authority,
    certified,
    peers_of,
    write_site,
)

NAMES = ["east", "north", "west"]
TURN = Turn("job-1", 1)
PUBLIC = {"cipher_key": "aa", "mask_key": "bb", "commitment": "cc"}


@pytest.fixture(scope="module")
def peers(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Peers]:
    return peers_of(tmp_path_factory.mktemp("sites"), NAMES)


def test_keys_that_a_peer_has_signed_are_taken(peers: dict[str, Peers]) -> None:
    said = peers["east"].signed(TURN, PUBLIC)
    assert peers["north"].require_signed(TURN, "east", said) == said


def test_what_a_peer_has_not_signed_is_refused(peers: dict[str, Peers]) -> None:
    said = peers["east"].signed(TURN, PUBLIC)
    by_west = peers["west"].signed(TURN, PUBLIC)
    attempts: list[tuple[Turn, str, Any, str]] = [
        (TURN, "east", {**said, "mask_key": "bc"}, "does not hold"),
        (TURN, "east", {**said, "cipher_key": "bb", "mask_key": "aa"}, "does not hold"),
        (Turn("job-1", 2), "east", said, "does not hold"),
        (Turn("job-2", 1), "east", said, "does not hold"),
        (TURN, "east", by_west, "another participant's certificate"),
        (TURN, "east", {**by_west, "certificate": said["certificate"]}, "does not hold"),
        (TURN, "sybil", said, "none of this federation"),
        (TURN, "east", {**said, "signature": "no hex"}, "non-hexadecimal"),
        (TURN, "east", {**said, "certificate": "none"}, "PEM"),
        (TURN, "east", {"mask_key": "aa"}, "no cipher_key"),
        (TURN, "east", None, "says nothing"),
    ]
    for turn, peer, told, seen in attempts:
        with pytest.raises(IdentityRefused, match=seen):
            peers["north"].require_signed(turn, peer, told)


def test_a_certificate_of_another_authority_under_the_same_name_is_refused(
    peers: dict[str, Peers],
) -> None:
    key, certificate = certified("east", by="the server's own")
    forged = replace(peers["east"], key=key, certificate=certificate.decode())
    with pytest.raises(IdentityRefused, match="certificate of another authority"):
        peers["north"].require_signed(TURN, "east", forged.signed(TURN, PUBLIC))


def test_a_certificate_that_has_ended_is_refused(peers: dict[str, Peers]) -> None:
    key, _ = certified("east")
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "east")])
    now = datetime.now(UTC)
    ended = (
        x509.CertificateBuilder(authority(FEDERATION)[1].subject, subject, key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=2))
        .not_valid_after(now - timedelta(seconds=1))
        .sign(authority(FEDERATION)[0], SHA256())
    )
    late = replace(peers["east"], certificate=serialize_cert(ended).decode())
    with pytest.raises(IdentityRefused, match="not valid now"):
        peers["north"].require_signed(TURN, "east", late.signed(TURN, PUBLIC))


@pytest.mark.parametrize(
    "said",
    [
        {"threshold": 1},
        {"threshold": 4},
        {"hospitals": ["east", "north"], "threshold": 2},
        {"hospitals": ["east", "west", "south"]},
        {"hospitals": ["north", "north", "east"]},
        {"hospitals": None},
    ],
)
def test_a_site_that_would_hide_nobody_is_refused(tmp_path: Path, said: dict[str, Any]) -> None:
    site = write_site(tmp_path, "north", NAMES, **said)
    with pytest.raises(RunConfigError, match="not provisioned for secure aggregation"):
        read_peers(site, "north")


@pytest.mark.parametrize(
    "missing", ["startup/client.key", "startup/client.crt", "startup/rootCA.pem"]
)
def test_a_site_without_its_certificate_or_key_is_refused(tmp_path: Path, missing: str) -> None:
    site = write_site(tmp_path, "north", NAMES)
    (site / missing).unlink()
    with pytest.raises(RunConfigError, match="not provisioned for secure aggregation"):
        read_peers(site, "north")


def test_a_site_of_another_sandbox_is_refused(tmp_path: Path) -> None:
    site = write_site(tmp_path, "north", NAMES)
    (site / "local" / "hospital.json").write_text(json.dumps({"hospital": "north"}))
    with pytest.raises(RunConfigError, match="KeyError"):
        read_peers(site, "north")


def test_the_key_does_not_show_in_a_repr(peers: dict[str, Peers]) -> None:
    assert "RSAPrivateKey" not in repr(peers["north"])
